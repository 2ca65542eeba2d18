#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "greentrainer/concepts/architecture.hpp"
#include "greentrainer/models/arcee.hpp"
#include "greentrainer/models/bloom.hpp"
#include "greentrainer/models/cohere.hpp"
#include "greentrainer/models/cohere2.hpp"
#include "greentrainer/models/cwm.hpp"
#include "greentrainer/models/ernie4_5.hpp"
#include "greentrainer/models/exaone4.hpp"
#include "greentrainer/models/falcon.hpp"
#include "greentrainer/models/gemma.hpp"
#include "greentrainer/models/gemma2.hpp"
#include "greentrainer/models/gemma3_text.hpp"
#include "greentrainer/models/glm.hpp"
#include "greentrainer/models/glm4.hpp"
#include "greentrainer/models/gpt2.hpp"
#include "greentrainer/models/gpt_bigcode.hpp"
#include "greentrainer/models/gpt_neo.hpp"
#include "greentrainer/models/gpt_neox.hpp"
#include "greentrainer/models/gptj.hpp"
#include "greentrainer/models/granite.hpp"
#include "greentrainer/models/helium.hpp"
#include "greentrainer/models/hunyuan_v1_dense.hpp"
#include "greentrainer/models/hyperclovax.hpp"
#include "greentrainer/models/jais2.hpp"
#include "greentrainer/models/llama.hpp"
#include "greentrainer/models/ministral.hpp"
#include "greentrainer/models/mistral.hpp"
#include "greentrainer/models/mixtral.hpp"
#include "greentrainer/models/olmo2.hpp"
#include "greentrainer/models/olmo3.hpp"
#include "greentrainer/models/olmoe.hpp"
#include "greentrainer/models/opt.hpp"
#include "greentrainer/models/phi.hpp"
#include "greentrainer/models/phi3.hpp"
#include "greentrainer/models/qwen2.hpp"
#include "greentrainer/models/qwen2_moe.hpp"
#include "greentrainer/models/qwen3.hpp"
#include "greentrainer/models/qwen3_moe.hpp"
#include "greentrainer/models/seed_oss.hpp"
#include "greentrainer/models/smollm3.hpp"
#include "greentrainer/models/stablelm.hpp"
#include "greentrainer/models/starcoder2.hpp"
#include "greentrainer/models/t5.hpp"
#include "greentrainer/models/vaultgemma.hpp"

namespace greentrainer {

/// Architectures that are known by their model_type. Each entry is one of them or another list; the first that has the
/// type is taken.
template <class... Entries>
struct Architectures {
  /// Calls `visit(description)` with what config.json describes and returns what it returns. `visit` is instantiated
  /// once for each type of description: all that are a CausalDecoder share one. Throws ConfigError for a model_type
  /// that none has.
  template <class Visit>
  static auto read(const ConfigReader& config, Visit visit) {
    const auto type = config.get<std::string>("model_type");
    using Result = decltype(visit(first_description(config)));
    if constexpr (std::is_void_v<Result>) {
      if (!try_visit(config, type, [&](const auto& description) { visit(description); })) refuse(config, type);
    } else {
      std::optional<Result> result;
      if (!try_visit(config, type, [&](const auto& description) { result.emplace(visit(description)); }))
        refuse(config, type);
      return std::move(*result);
    }
  }

  static std::string names() {
    std::string list;
    ((list += (list.empty() ? "" : ", ") + names_of<Entries>()), ...);
    return list;
  }

  template <class Visit>
  static bool try_visit(const ConfigReader& config, const std::string& type, const Visit& visit) {
    return (try_entry<Entries>(config, type, visit) || ...);
  }
  static auto first_description(const ConfigReader& config) { return first_of<Entries...>(config); }

 private:
  template <class Entry>
  static constexpr bool is_list = requires {
    Entry::names();
  };

  template <class Entry, class Visit>
  static bool try_entry(const ConfigReader& config, const std::string& type, const Visit& visit) {
    if constexpr (is_list<Entry>) {
      return Entry::try_visit(config, type, visit);
    } else {
      static_assert(check_architecture<Entry, ConfigReader, NoPolicy>());
      if (type != Entry::model_type) return false;
      visit(Entry::read(config));
      return true;
    }
  }
  template <class First, class... Rest>
  static auto first_of(const ConfigReader& config) {
    if constexpr (is_list<First>)
      return First::first_description(config);
    else
      return First::read(config);
  }
  template <class Entry>
  static std::string names_of() {
    if constexpr (is_list<Entry>)
      return Entry::names();
    else
      return std::string(Entry::model_type);
  }
  [[noreturn]] static void refuse(const ConfigReader& config, const std::string& type) {
    throw ConfigError("config", text(config.source(), ", field \"model_type\""),
                      text("expected one of ", names(), ", got ", type));
  }
  struct NoPolicy {};
};

using KnownArchitectures =
    Architectures<Arcee, Bloom, Cohere, Cohere2, Cwm, Ernie45, Exaone4, Falcon, Gemma, Gemma2, Gemma3Text, Glm, Glm4,
                  Gpt2, GptBigCode, GptJ, GptNeo, GptNeoX, Granite, Helium, HunYuanDense, HyperClovaX, Jais2, Llama,
                  Ministral, Mistral, Mixtral, Olmo2, Olmo3, Olmoe, Opt, Phi, Phi3, Qwen2, Qwen2Moe, Qwen3, Qwen3Moe,
                  SeedOss, SmolLm3, StableLm, StarCoder2, T5, VaultGemma>;

}  // namespace greentrainer
