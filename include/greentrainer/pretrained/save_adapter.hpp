#pragma once

#include <cmath>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/io/output_folder.hpp"
#include "greentrainer/io/safetensors_writer.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"

namespace greentrainer {

namespace detail {

inline void expect_finite(const std::string& tensor, double value) {
  if (!std::isfinite(value)) throw NumericalError("save_adapter", tensor, text("expected finite weights, got ", value));
}

/// The layers that have LoRA's matrices: all of them by name, which peft then finds whatever its own rules are.
template <class P>
std::vector<std::string> lora_layers(const TensorGraph<P>& graph) {
  std::vector<std::string> layers;
  constexpr std::size_t ending = std::string_view(".weight").size();
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    const std::string& name = graph.parameter(id).name;
    if (lora_of(graph, id)) layers.push_back(name.substr(0, name.size() - ending));
  }
  return layers;
}

/// Sizes of peft's table of a prefix: (tokens, 2 * layers * width), an entry of `width` for the keys and for the values
/// of every decoder layer.
struct PrefixTable {
  Extent tokens = 0;
  Extent layers = 0;
  Extent width = 0;

  Extent cols() const { return 2 * layers * width; }
};
template <class P>
PrefixTable prefix_table(const TensorGraph<P>& graph) {
  PrefixTable table{.tokens = graph.prefix_rows()};
  for (const auto& node : graph.operators()) {
    if (node.op->kind() != Prefix::kind) continue;
    table.layers += 1;
    table.width = graph.parameter(node.parameters.front()).cols();
  }
  table.layers /= 2;
  return table;
}

/// What adapter_config.json says of an adapter: LoRA's, or else a prefix's.
struct AdapterSettings {
  std::filesystem::path base;  ///< the model's folder
  bool encoder_decoder = false;
  std::optional<LoraOptions> lora;
  std::vector<std::string> layers;  ///< that have LoRA's matrices
  bool transposed = false;          ///< whether the checkpoint has linear layers as (in, out)
  PrefixTable prefix;
};
void write_adapter_config(const std::filesystem::path& file, const AdapterSettings& settings);

/// Peft's table of a prefix; entries that no layer reads are zero.
template <Backend B>
std::vector<typename B::Scalar> prefix_values(const Model<B>& model) {
  const PrefixTable table = prefix_table(model.graph());
  std::vector<typename B::Scalar> values(static_cast<std::size_t>(table.tokens * table.cols()), 0);
  for (Extent entry = 0; entry < 2 * table.layers; ++entry) {
    const auto id = model.graph().find(prefix_parameter(entry));
    if (!id) continue;
    const auto rows = model.parameters()[*id].download();
    for (Extent t = 0; t < table.tokens; ++t) {
      for (Extent c = 0; c < table.width; ++c) {
        values[static_cast<std::size_t>(t * table.cols() + entry * table.width + c)] =
            rows[static_cast<std::size_t>(t * table.width + c)];
      }
    }
  }
  return values;
}

}  // namespace detail

/// Writes what was added to the model, LoRA's matrices or a prefix, into an output folder that is being made, in the
/// form that the library peft loads: adapter_config.json and adapter_model.safetensors, in float32, with the path of
/// the model's own folder. Throws ConfigError unless there is one of the two, SaveError, and NumericalError for weights
/// that are no longer numbers.
template <Backend B>
void write_adapter(const PretrainedModel<B>& model, const OutputFolder& output) {
  using T = typename B::Scalar;
  const GraphOptions& options = model.options();
  if (options.lora.has_value() == (options.prefix_tokens > 0)) {
    throw ConfigError(
        "save_adapter", "adapters",
        text("expected LoRA or a prefix, got ", options.lora ? "both" : "neither", "; peft has one in a folder"));
  }
  std::vector<std::vector<T>> values;
  std::vector<TensorToWrite> tensors;
  const auto add = [&](const std::string& name, std::vector<Extent> shape, std::vector<T> numbers) {
    for (const T number : numbers) detail::expect_finite(name, static_cast<double>(number));
    values.push_back(std::move(numbers));
    tensors.push_back(TensorToWrite::values_of<T>(name, DType::float32, std::move(shape), values.back()));
  };
  if (options.lora) {
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      const Parameter& p = model.graph().parameter(id);
      if (p.is_adapter()) add(p.name, p.shape, model.parameters()[id].download());
    }
  } else {
    const detail::PrefixTable table = detail::prefix_table(model.graph());
    add("prompt_embeddings", {table.tokens, table.cols()}, detail::prefix_values(model));
  }
  write_safetensors(output.path() / "adapter_model.safetensors", tensors, {{"format", "pt"}});
  detail::write_adapter_config(output.path() / "adapter_config.json",
                               {.base = model.folder(),
                                .encoder_decoder = model.facts().target_shift.has_value(),
                                .lora = options.lora,
                                .layers = detail::lora_layers(model.graph()),
                                .transposed = model.stored().is_transposed(),
                                .prefix = detail::prefix_table(model.graph())});
}

/// The same as a folder of its own, which appears when all of it is on disk.
template <Backend B>
void save_adapter(const PretrainedModel<B>& model, const std::filesystem::path& folder, OutputOptions options = {}) {
  OutputFolder output(folder, std::move(options));
  write_adapter(model, output);
  output.commit();
}

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/pretrained/save_adapter_inl.hpp"
#endif
