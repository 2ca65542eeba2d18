#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/blocks/graph_options.hpp"
#include "greentrainer/core/random.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/models/model.hpp"

namespace greentrainer {

/// Stores weights in a format until they are trained: those that it can store.
template <class P>
void store_weights(TensorGraph<P>& graph, const StorageFormat& format) {
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (graph.can_store(id, format)) graph.store_in(id, &format);
  }
}

/// The graph of an architecture with what the options add. Throws ConfigError if the architecture's graph() takes none
/// and there is something to add.
template <class P, class Architecture>
TensorGraph<P> graph_of(const Architecture& architecture, const GraphOptions& options) {
  if (options.frozen_format != nullptr) {
    GraphOptions other = options;
    other.frozen_format = nullptr;
    TensorGraph<P> graph = graph_of<P>(architecture, other);
    store_weights(graph, *options.frozen_format);
    return graph;
  }
  if constexpr (requires { architecture.template graph<P>(options); }) {
    return architecture.template graph<P>(options);
  } else {
    if (options.has_adapters() || options.dropout > 0) {
      throw ConfigError("adapters", architecture.model_type,
                        "expected an architecture whose graph() takes GraphOptions, got one that does not");
    }
    return architecture.template graph<P>();
  }
}

/// Of a model whose graph has what the options add. Costs are shares of the full fine-tuning of the model itself.
/// Throws ConfigError if a prefix takes all of the model's positions.
template <Backend B, class Architecture>
ModelFacts facts_of(const Architecture& architecture, const GraphOptions& options) {
  ModelFacts facts = facts_of(architecture);
  if (!options.has_adapters()) return facts;
  if (options.prefix_tokens >= facts.max_positions) {
    throw ConfigError(
        "adapters", "prefix_tokens",
        text("expected fewer than the model's ", facts.max_positions, " positions, got ", options.prefix_tokens));
  }
  facts.max_positions -= options.prefix_tokens;
  facts.full_cost = full_fine_tuning_cost(graph_of<B>(architecture, {.dropout = options.dropout}), ExactCost<B>{});
  return facts;
}

/// Gives what was added to a model its first values: a function of the seed and each tensor's name.
template <Backend B>
void set_first_values(Model<B>& model, std::uint64_t seed) {
  using T = typename B::Scalar;
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    const Parameter& p = model.graph().parameter(id);
    if (!p.is_adapter()) continue;
    CounterRandom random(seed, "first values of " + p.name);
    const double bound = 1 / std::sqrt(static_cast<double>(p.cols()));
    std::vector<T> values(static_cast<std::size_t>(p.size()), T(0));
    for (T& value : values) {
      if (p.first_values == FirstValues::uniform) value = static_cast<T>(bound * (2 * random.uniform() - 1));
      if (p.first_values == FirstValues::normal) value = static_cast<T>(random.normal());
    }
    model.parameters()[id].upload(values);
  }
}

/// LoRA's matrices beside a layer's weight.
struct LoraMatrices {
  ParameterId a = -1;
  ParameterId b = -1;
};
template <class P>
std::optional<LoraMatrices> lora_of(const TensorGraph<P>& graph, ParameterId weight) {
  const std::string& name = graph.parameter(weight).name;
  constexpr std::string_view ending = ".weight";
  if (!name.ends_with(ending)) return std::nullopt;
  const std::string layer = name.substr(0, name.size() - ending.size());
  const auto a = graph.find(lora_parameter(layer, 'A')), b = graph.find(lora_parameter(layer, 'B'));
  if (!a || !b) return std::nullopt;
  return LoraMatrices{*a, *b};
}

/// A parameter's values on the host; those of a weight with LoRA's matrices beside it with scale * B A added, so that
/// it does without them.
template <Backend B>
std::vector<typename B::Scalar> merged_values(const Model<B>& model, ParameterId id, double scale) {
  using T = typename B::Scalar;
  std::vector<T> merged = model.parameters().values(id);
  const auto lora = lora_of(model.graph(), id);
  if (!lora) return merged;
  const std::vector<T> a = model.parameters()[lora->a].download(), b = model.parameters()[lora->b].download();
  const auto in = static_cast<std::size_t>(model.graph().parameter(id).cols()), rank = a.size() / in;
  for (std::size_t out = 0; out < merged.size() / in; ++out) {
    T* const row = merged.data() + out * in;
    for (std::size_t k = 0; k < rank; ++k) {
      const T factor = static_cast<T>(scale) * b[out * rank + k];
      for (std::size_t i = 0; i < in; ++i) row[i] += factor * a[k * in + i];
    }
  }
  return merged;
}

}  // namespace greentrainer
