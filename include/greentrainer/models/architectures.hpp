#pragma once

#include <string>
#include <utility>

#include "greentrainer/models/bloom.hpp"
#include "greentrainer/models/llama.hpp"
#include "greentrainer/models/opt.hpp"
#include "greentrainer/models/t5.hpp"

namespace greentrainer {

/// The architectures that are known by their model_type: one line each.
template <class... Architectures>
struct ArchitectureList {
  /// Calls `visit(Architecture)` with the architecture that config.json describes and returns what it returns. Throws
  /// ConfigError for an unknown one.
  template <class Visit>
  static auto read(const ConfigReader& config, Visit visit) {
    const auto type = config.get<std::string>("model_type");
    return try_next<Visit, Architectures...>(config, type, visit);
  }

  static std::string names() {
    std::string list;
    ((list += (list.empty() ? "" : ", ") + std::string(Architectures::model_type)), ...);
    return list;
  }

 private:
  template <class Visit, class First, class... Rest>
  static auto try_next(const ConfigReader& config, const std::string& type, Visit& visit)
      -> decltype(visit(std::declval<First>())) {
    if (type == First::model_type) return visit(First::read(config));
    if constexpr (sizeof...(Rest) > 0) return try_next<Visit, Rest...>(config, type, visit);
    throw ConfigError("config", text(config.source(), ", field \"model_type\""),
                      text("expected one of ", names(), ", got ", type));
  }
};

using KnownArchitectures = ArchitectureList<Bloom, Llama, Opt, T5>;

}  // namespace greentrainer
