#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/models/architecture_list.hpp"
#include "greentrainer/models/bloom.hpp"
#include "greentrainer/models/causal_decoder.hpp"
#include "greentrainer/models/opt.hpp"
#include "greentrainer/models/t5.hpp"

namespace greentrainer {

/// The list of the architectures that are known: the families of models/, each of which reads config.json into one of
/// these descriptions. Members as of Architectures.
struct KnownArchitectures {
  using Description = std::variant<CausalDecoder, Bloom, Opt, T5>;

  /// Nothing for a model_type that is not known. Throws ConfigError naming file and field.
  static std::optional<Description> describe(const ConfigReader& config, const std::string& type);
  static std::string names();

  template <class Visit>
  static auto read(const ConfigReader& config, Visit visit) {
    return Architectures<KnownArchitectures>::read(config, std::move(visit));
  }
  template <class Visit>
  static bool try_visit(const ConfigReader& config, const std::string& type, const Visit& visit) {
    const std::optional<Description> description = describe(config, type);
    if (description) std::visit(visit, *description);
    return description.has_value();
  }
  /// For its type alone.
  static CausalDecoder first_description(const ConfigReader& config);
};

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/models/architectures_inl.hpp"
#endif
