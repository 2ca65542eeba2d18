#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/blocks/graph_options.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/safetensors.hpp"
#include "greentrainer/pretrained/adapter_folder.hpp"
#include "greentrainer/tokenizers/regex.hpp"

namespace greentrainer {

namespace detail {

inline ConfigError adapter_field_fault(const ConfigReader& config, std::string_view field, const std::string& fault) {
  return ConfigError("config", text(config.source(), ", field \"", field, "\""), fault);
}

/// What peft's files say of all kinds of adapters: passed over. What else they may say is refused, unless it is null,
/// false or an empty list. An empty object is not off: peft makes a configuration of defaults of it.
inline void finish_adapter_config(const ConfigReader& config) {
  config.ignore({"peft_type", "task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping",
                 "peft_version"});
  for (const std::string& field : config.unread()) {
    if (!config.is_off(field) || config.is_object(field))
      config.refuse(field, "it changes what the adapter computes, and is not supported");
  }
}

/// `init_lora_weights` of adapters whose base peft changes when it loads them, or that it does not load. Other values
/// say how A and B began, which their saved values have replaced.
inline void check_first_values(const ConfigReader& config) {
  const std::string field = "init_lora_weights";
  if (config.is_off(field) || config.is(field, true)) return;
  const auto name = config.get<std::string>(field);
  std::string lower = name;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower == "gaussian" || lower == "mica" || name == "eva" || name == "orthogonal" || name == "lora_ga") return;
  if (name.starts_with("pissa") || name == "corda" || lower == "olora" || name == "loftq") {
    config.refuse(field,
                  "it changes the base model's weights, which is not supported; merge the adapter with peft, or "
                  "save it there with path_initial_model_for_weight_conversion");
  }
  throw adapter_field_fault(config, field,
                            text("expected true, false, gaussian, eva, orthogonal, lora_ga or mica, got ", name));
}

/// The layers that adapter_config.json names, by peft's rules.
class LoraLayers {
 public:
  explicit LoraLayers(const ConfigReader& config)
      : config_(config), targets_(config, "target_modules"), excluded_(config, "exclude_modules") {
    if (config.has("layers_to_transform")) indices_ = config.get_one_or_list<Extent>("layers_to_transform");
    if (config.has("layers_pattern")) lists_ = config.get_one_or_list<std::string>("layers_pattern");
  }

  /// Throws ConfigError naming the field by which peft leaves this layer out.
  void expect(const std::string& layer) const {
    const auto left_out = [&](const char* field, const char* expected) {
      throw adapter_field_fault(
          config_, field,
          text("expected ", expected, " ", layer, ", which the adapter has tensors for, got others; ",
               "peft would leave that layer out"));
    };
    if (excluded_.names(layer)) left_out("exclude_modules", "names without");
    if (!targets_.names(layer)) left_out("target_modules", "a name of");
    if (indices_.empty() || targets_.is_text() || targets_.has(layer)) return;
    const auto index = index_of(layer);
    if (!index) left_out("layers_pattern", "a list that holds");
    if (std::ranges::find(indices_, *index) == indices_.end()) left_out("layers_to_transform", "the number of");
  }

 private:
  /// A regular expression for whole names, or a list of names or of their ends; none names nothing.
  class Names {
   public:
    Names(const ConfigReader& config, std::string_view field) {
      if (config.is_off(field)) return;
      if (!config.is_text(field)) {
        names_ = config.get<std::vector<std::string>>(field);
        return;
      }
      const auto pattern = config.get<std::string>(field);
      std::string lower = pattern;
      std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      all_linear_ = field == "target_modules" && lower == "all-linear";
      if (all_linear_) return;
      pattern_.emplace("\\A(?:" + pattern + ")\\z", text(config.source(), ", field \"", field, '"'));
    }
    bool is_text() const { return all_linear_ || pattern_.has_value(); }
    bool has(const std::string& layer) const { return std::ranges::find(names_, layer) != names_.end(); }
    bool names(const std::string& layer) const {
      if (all_linear_) return true;
      bool found = has(layer);
      for (const std::string& name : names_) found = found || layer.ends_with("." + name);
      if (pattern_) pattern_->for_each_match(layer, [&](std::size_t, std::size_t) { found = true; });
      return found;
    }

   private:
    std::vector<std::string> names_;
    std::optional<Regex> pattern_;
    bool all_linear_ = false;
  };

  /// The first number among the name's parts behind a list's name, which is not the name's first part unless the
  /// configuration names the list.
  std::optional<Extent> index_of(const std::string& layer) const {
    std::vector<std::string> parts(1);
    for (const char c : layer) {
      if (c == '.')
        parts.emplace_back();
      else
        parts.back() += c;
    }
    const auto number = [](const std::string& part) {
      return !part.empty() && part.size() < 10 &&
             std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
    };
    for (std::size_t i = lists_.empty() ? 2 : 1; i + 1 < parts.size(); ++i) {
      if (!number(parts[i])) continue;
      if (lists_.empty() || std::ranges::find(lists_, parts[i - 1]) != lists_.end()) return std::stoll(parts[i]);
    }
    return std::nullopt;
  }

  const ConfigReader& config_;
  Names targets_;
  Names excluded_;
  std::vector<Extent> indices_;
  std::vector<std::string> lists_;
};

/// The layers are those that have tensors. Throws ConfigError for a field that changes what is computed and is not
/// followed here, or that leaves out a layer with tensors.
inline LoraOptions read_lora(const ConfigReader& config, const SafetensorsFile& tensors) {
  LoraOptions lora;
  lora.rank = config.positive("r");
  lora.alpha = config.get<double>("lora_alpha");
  if (config.get_or<bool>("use_rslora", false)) lora.alpha *= std::sqrt(static_cast<double>(lora.rank));
  lora.dropout = config.get_or<double>("lora_dropout", 0);
  config.expect_value("bias", "none");
  for (const char* field : {"rank_pattern", "alpha_pattern"}) config.expect_value(field, Json::object());
  check_first_values(config);
  const LoraLayers layers(config);
  // Settings of first values and of features that are off, of layers that are not linear, and how peft runs, change
  // nothing.
  config.ignore({"fan_in_fan_out", "megatron_core", "qalora_group_size", "loftq_config", "eva_config", "corda_config",
                 "lora_ga_config", "runtime_config"});
  finish_adapter_config(config);

  constexpr std::string_view front = "base_model.model.", back = ".lora_A.weight";
  for (const TensorInfo& info : tensors.tensors()) {
    if (!info.name.starts_with(front) || !info.name.ends_with(back) || info.name.size() <= front.size() + back.size())
      continue;
    if (info.shape.size() != 2 || info.shape[0] != lora.rank || info.shape[1] < 1) {
      throw adapter_fault(tensors, info.name,
                          text("expected shape (", lora.rank, ", ...), got ", shape_text(info.shape)));
    }
    std::string layer = info.name.substr(front.size(), info.name.size() - front.size() - back.size());
    // One tensor may not stand for many layers: targets are patterns.
    if (layer.find_first_of("*?") != layer.npos)
      throw adapter_fault(tensors, info.name, "expected the name of a layer, got a pattern");
    layers.expect(layer);
    lora.targets.push_back(std::move(layer));
  }
  if (lora.targets.empty()) {
    throw LoadError("load_adapter", tensors.path().string(),
                    text("expected tensors ", front, "LAYER", back, ", got none"));
  }
  return lora;
}

/// The prefix's length. Sizes of the table are to be checked against the model's.
inline Extent read_prefix(const ConfigReader& config, const SafetensorsFile& tensors, PrefixSizes& sizes) {
  const Extent tokens = config.positive("num_virtual_tokens");
  const auto size = [&](const char* field) {
    return config.has(field) ? std::optional(config.positive(field)) : std::nullopt;
  };
  sizes = {size("num_layers"), size("token_dim"), size("num_transformer_submodules")};
  // Heads lie side by side, whatever their number; after training, a projection has no effect.
  config.ignore({"num_attention_heads", "encoder_hidden_size", "prefix_projection", "init_weights"});
  finish_adapter_config(config);
  const TensorInfo& table = tensors.info("prompt_embeddings");
  if (table.shape.size() != 2 || table.shape[0] != tokens) {
    throw adapter_fault(tensors, table.name, text("expected shape (", tokens, ", ...), got ", shape_text(table.shape)));
  }
  return tokens;
}

}  // namespace detail

}  // namespace greentrainer
