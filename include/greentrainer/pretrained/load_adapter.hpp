#pragma once

#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/incomplete_marker.hpp"
#include "greentrainer/pretrained/adapter_folder.hpp"
#include "greentrainer/pretrained/save_adapter.hpp"

namespace greentrainer {

/// Throws LoadError for an adapter's tensor that what was added to a model's graph lacks, does not know, or has with
/// another shape, and ConfigError for a prefix whose configuration divides the table otherwise. Allocates nothing.
template <class P>
void check_adapter(const TensorGraph<P>& graph, const AdapterFolder& adapter, bool encoder_decoder) {
  const SafetensorsFile& tensors = adapter.tensors;
  std::set<std::string> known;
  const auto expect = [&](const std::string& name, const std::vector<Extent>& shape) {
    known.insert(name);
    if (!tensors.contains(name))
      throw detail::adapter_fault(tensors, name, "expected such a tensor, got none; is the adapter this model's?");
    const TensorInfo& info = tensors.info(name);
    if (info.shape != shape) {
      throw detail::adapter_fault(tensors, name,
                                  text("expected shape ", shape_text(shape), ", got ", shape_text(info.shape),
                                       "; is the adapter this model's?"));
    }
  };
  const detail::PrefixTable table = detail::prefix_table(graph);
  if (table.tokens > 0) {
    const auto expect_size = [&](const char* field, std::optional<Extent> said, Extent size) {
      if (!said || *said == size) return;
      throw ConfigError("load_adapter", text(adapter.config_file.string(), ", field \"", field, "\""),
                        text("expected ", size, ", got ", *said, "; is the adapter this model's?"));
    };
    expect("prompt_embeddings", {table.tokens, table.cols()});
    expect_size("num_layers", adapter.prefix_sizes.layers, table.layers);
    expect_size("token_dim", adapter.prefix_sizes.width, table.width);
    expect_size("num_transformer_submodules", adapter.prefix_sizes.submodules, encoder_decoder ? 2 : 1);
  } else {
    for (const Parameter& p : graph.parameters()) {
      if (p.is_adapter()) expect(p.name, p.shape);
    }
  }
  for (const TensorInfo& info : tensors.tensors()) {
    if (!known.contains(info.name))
      throw detail::adapter_fault(tensors, info.name, "expected a tensor of the model's adapters, got an unknown one");
  }
}

/// Fills what was added to a model's graph with an adapter's tensors, which have been checked. Throws LoadError for
/// numbers that are not finite.
template <Backend B>
void load_adapter_tensors(PretrainedModel<B>& model, const SafetensorsFile& tensors) {
  using T = typename B::Scalar;
  const auto& graph = model.graph();
  const detail::PrefixTable table = detail::prefix_table(graph);
  const auto read = [&](const std::string& name) {
    std::vector<T> values(static_cast<std::size_t>(tensors.info(name).elements()));
    tensors.read_as<T>(name, values);
    for (const T value : values) {
      if (!std::isfinite(value))
        throw detail::adapter_fault(tensors, name, text("expected finite weights, got ", value));
    }
    return values;
  };
  if (table.tokens > 0) {
    const std::vector<T> values = read("prompt_embeddings");
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
      if (p.is_adapter()) model.parameters()[id].upload(read(p.name));
    }
  }
}

/// Loads a model's folder with an adapter that was read, whose dropout may be set before: to train it further.
template <Backend B>
PretrainedModel<B> load_pretrained_with_adapter(const std::filesystem::path& folder, const AdapterFolder& adapter,
                                                B& backend) {
  PretrainedModel<B> model = detail::load_checked<KnownArchitectures>(
      folder, backend, adapter.options, 0, [&](const auto& graph, const ModelFacts& facts) {
        check_adapter(graph, adapter, facts.target_shift.has_value());
      });
  load_adapter_tensors(model, adapter.tensors);
  return model;
}

/// Loads a model's folder with an adapter's.
template <Backend B>
PretrainedModel<B> load_pretrained_with_adapter(const std::filesystem::path& folder,
                                                const std::filesystem::path& adapter_folder, B& backend) {
  return load_pretrained_with_adapter(folder, read_adapter(adapter_folder), backend);
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
  if (!std::filesystem::exists(base, error)) {
    throw LoadError(
        "load_adapter", text(config_file.string(), ", field \"base_model_name_or_path\""),
        text("expected the folder or the GGUF file of the adapter's model, got ", base, "; write there where it is"));
  }
  return load_pretrained_with_adapter(base, folder, backend);
}

}  // namespace greentrainer
