#pragma once

#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/pretrained/save_adapter.hpp"

namespace greentrainer {

/// A folder in peft's form: what it adds to a model's graph, and the tensors that go there.
struct AdapterFolder {
  GraphOptions options;
  SafetensorsFile tensors;
};

namespace detail {

inline LoadError adapter_fault(const SafetensorsFile& file, const std::string& tensor, const std::string& fault) {
  return LoadError("load_adapter", text(file.path().string(), ", tensor ", tensor, ": ", fault));
}

/// What peft's files say of all kinds of adapters: passed over. What else they may say is refused, unless it is off.
inline void finish_adapter_config(const ConfigReader& config) {
  config.ignore({"peft_type", "task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping",
                 "peft_version"});
  for (const std::string& field : config.unread()) {
    if (!config.is_off(field)) config.refuse(field, "it changes what the adapter computes, and is not supported");
  }
}

inline LoraOptions read_lora(const ConfigReader& config, const SafetensorsFile& tensors) {
  LoraOptions lora;
  lora.rank = config.positive("r");
  lora.alpha = config.get<double>("lora_alpha");
  lora.dropout = config.get_or<double>("lora_dropout", 0);
  config.expect_value("bias", "none");
  // Layers are those that have tensors. How values began, and settings of features that are off, change nothing.
  config.ignore({"target_modules", "exclude_modules", "init_lora_weights", "layers_to_transform", "layers_pattern",
                 "megatron_core", "qalora_group_size", "loftq_config", "eva_config", "corda_config", "lora_ga_config"});
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
    lora.targets.push_back(std::move(layer));
  }
  if (lora.targets.empty()) {
    throw LoadError("load_adapter",
                    text(tensors.path().string(), ": expected tensors ", front, "LAYER", back, ", got none"));
  }
  return lora;
}

inline Extent read_prefix(const ConfigReader& config, const SafetensorsFile& tensors) {
  const Extent tokens = config.positive("num_virtual_tokens");
  // Sizes of the table are checked against the model's; after training, a projection has no effect.
  config.ignore({"num_layers", "token_dim", "num_attention_heads", "num_transformer_submodules", "encoder_hidden_size",
                 "prefix_projection", "init_weights"});
  const TensorInfo& table = tensors.info("prompt_embeddings");
  if (table.shape.size() != 2 || table.shape[0] != tokens) {
    throw adapter_fault(tensors, table.name, text("expected shape (", tokens, ", ...), got ", shape_text(table.shape)));
  }
  return tokens;
}

}  // namespace detail

/// Reads adapter_config.json and opens adapter_model.safetensors. Throws ConfigError or LoadError naming file and field
/// or tensor.
inline AdapterFolder read_adapter(const std::filesystem::path& folder) {
  expect_complete_folder("load_adapter", folder);
  const auto config = ConfigReader::from_file(folder / "adapter_config.json");
  AdapterFolder adapter{.options = {}, .tensors = SafetensorsFile(folder / "adapter_model.safetensors")};
  const auto type = config.get<std::string>("peft_type");
  if (type == "LORA") {
    adapter.options.lora = detail::read_lora(config, adapter.tensors);
  } else if (type == "PREFIX_TUNING") {
    adapter.options.prefix_tokens = detail::read_prefix(config, adapter.tensors);
  } else {
    throw ConfigError("config",
                      text(config.source(), ", field \"peft_type\": expected LORA or PREFIX_TUNING, got ", type));
  }
  detail::finish_adapter_config(config);
  return adapter;
}

/// Fills what was added to a model's graph with an adapter's tensors. Throws LoadError for one that is missing,
/// unknown, of another shape, or not finite.
template <Backend B>
void load_adapter_tensors(PretrainedModel<B>& model, const SafetensorsFile& tensors) {
  using T = typename B::Scalar;
  const auto& graph = model.graph();
  const detail::PrefixTable table = detail::prefix_table(graph);
  const auto read = [&](const std::string& name, const std::vector<Extent>& shape) {
    if (!tensors.contains(name))
      throw detail::adapter_fault(tensors, name, "expected such a tensor, got none; is the adapter this model's?");
    const TensorInfo& info = tensors.info(name);
    if (info.shape != shape) {
      throw detail::adapter_fault(tensors, name,
                                  text("expected shape ", shape_text(shape), ", got ", shape_text(info.shape),
                                       "; is the adapter this model's?"));
    }
    std::vector<T> values(static_cast<std::size_t>(info.elements()));
    tensors.read_as<T>(name, values);
    for (const T value : values) {
      if (!std::isfinite(value))
        throw detail::adapter_fault(tensors, name, text("expected finite weights, got ", value));
    }
    return values;
  };
  std::set<std::string> known;
  if (table.tokens > 0) {
    known.insert("prompt_embeddings");
    const std::vector<T> values = read("prompt_embeddings", {table.tokens, table.cols()});
    for (Extent entry = 0; entry < 2 * table.layers; ++entry) {
      const auto id = graph.find(prefix_parameter(entry));
      if (!id) continue;
      std::vector<T> rows;
      for (Extent t = 0; t < table.tokens; ++t) {
        const auto first = values.begin() + t * table.cols() + entry * table.width;
        rows.insert(rows.end(), first, first + table.width);
      }
      model.parameters()[*id].upload(rows);
    }
  } else {
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      const Parameter& p = graph.parameter(id);
      if (!p.is_adapter()) continue;
      known.insert(p.name);
      model.parameters()[id].upload(read(p.name, p.shape));
    }
  }
  for (const TensorInfo& info : tensors.tensors()) {
    if (!known.contains(info.name))
      throw detail::adapter_fault(tensors, info.name, "expected a tensor of the model's adapters, got an unknown one");
  }
}

/// Loads a model's folder with an adapter's.
template <Backend B>
PretrainedModel<B> load_pretrained_with_adapter(const std::filesystem::path& folder,
                                                const std::filesystem::path& adapter_folder, B& backend) {
  const AdapterFolder adapter = read_adapter(adapter_folder);
  PretrainedModel<B> model = load_pretrained(folder, backend, adapter.options);
  load_adapter_tensors(model, adapter.tensors);
  return model;
}

/// Loads a model's folder, or an adapter's with the model that it names. Throws LoadError where that model is no folder
/// here.
template <Backend B>
PretrainedModel<B> load_model_or_adapter(const std::filesystem::path& folder, B& backend) {
  expect_complete_folder("load_pretrained", folder);
  std::error_code error;
  const auto config_file = folder / "adapter_config.json";
  if (!std::filesystem::exists(config_file, error)) return load_pretrained(folder, backend);
  const auto base = ConfigReader::from_file(config_file).get<std::string>("base_model_name_or_path");
  if (!std::filesystem::is_directory(base, error)) {
    throw LoadError("load_adapter",
                    text(config_file.string(),
                         ", field \"base_model_name_or_path\": expected the folder of the adapter's model, got ", base,
                         "; write there where it is"));
  }
  return load_pretrained_with_adapter(base, folder, backend);
}

}  // namespace greentrainer
