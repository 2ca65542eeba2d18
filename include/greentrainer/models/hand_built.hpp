#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/random.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/ops/cross_entropy_head.hpp"
#include "greentrainer/ops/layer_norm.hpp"
#include "greentrainer/ops/rms_norm.hpp"

namespace greentrainer {

/// What a graph says of its model: tokens and positions that its embeddings have, classes of its head, numbers of its
/// batches; a graph without an embedding of tokens has the one id 0. `layer_prefixes`: see ModelFacts. Throws
/// ConfigError as batch_numbers does.
template <class P>
ModelFacts facts_of(const TensorGraph<P>& graph, std::string model_type, std::vector<std::string> layer_prefixes = {}) {
  ModelFacts facts{.model_type = std::move(model_type),
                   .max_positions = unlimited_positions,
                   .layer_prefixes = std::move(layer_prefixes),
                   .numbers = batch_numbers(graph)};
  for (const auto& node : graph.operators()) {
    if (const auto* head = operator_as<CrossEntropyHead>(*node.op)) facts.classes = head->vocabulary;
    const auto* embedding = operator_as<Embedding>(*node.op);
    if (embedding == nullptr) continue;
    const Extent entries = embedding->entries - embedding->offset;
    if (embedding->source == Embedding::Source::positions)
      facts.max_positions = std::min(facts.max_positions, entries);
    else
      facts.vocabulary = facts.vocabulary == 0 ? entries : std::min(facts.vocabulary, entries);
  }
  if (facts.vocabulary == 0) facts.vocabulary = 1;
  if (graph.has_rows(Rows::encoder_tokens)) facts.target_shift = TargetShift{};
  return facts;
}

namespace detail {

/// What a parameter's first values are drawn from: normal, of this deviation, around this mean.
struct FirstDistribution {
  double mean = 0;
  double deviation = 0;
};

template <class P>
FirstDistribution first_distribution(const TensorGraph<P>& graph, ParameterId id) {
  const auto& node = graph.op(graph.first_reader(id));
  if (operator_as<Embedding>(*node.op) != nullptr) return {.deviation = 1};
  const bool is_first = node.parameters.front() == id;
  if (const auto* norm = operator_as<RmsNorm>(*node.op)) return {.mean = is_first ? 1 - norm->offset : 0};
  if (operator_as<LayerNorm>(*node.op) != nullptr) return {.mean = is_first ? 1.0 : 0};
  const Parameter& p = graph.parameter(id);
  if (p.shape.size() < 2) return {};
  const double gain = node.op->is_loss() ? 1 : 2;  // no activation follows the head
  return {.deviation = std::sqrt(gain / static_cast<double>(p.cols()))};
}

}  // namespace detail

/// Gives every parameter its first values, each a function of the seed and its name: matrices by He et al. (arXiv
/// 1502.01852), N(0, 2 / columns), the head's N(0, 1 / columns); tables of embeddings N(0, 1); norms 1 and biases 0.
/// Requires parameters that are not stored in a format (ConfigError).
template <Backend B>
void initialize(Model<B>& model, std::uint64_t seed) {
  using T = typename B::Scalar;
  const auto& graph = model.graph();
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    const Parameter& p = graph.parameter(id);
    const auto from = detail::first_distribution(graph, id);
    CounterRandom random(seed, "first values of " + p.name);
    std::vector<T> values(static_cast<std::size_t>(p.size()), static_cast<T>(from.mean));
    if (from.deviation > 0) {
      for (T& value : values) value = static_cast<T>(from.mean + from.deviation * random.normal());
    }
    model.parameters()[id].upload(values);
  }
}

/// A model of a graph that was built by hand, with first values. Throws as facts_of and initialize do.
template <Backend B>
Model<B> make_model(B& backend, TensorGraph<B> graph, std::uint64_t seed, std::string model_type = "own") {
  ModelFacts facts = facts_of(graph, std::move(model_type));
  Model<B> model(backend, std::move(graph), std::move(facts));
  initialize(model, seed);
  return model;
}

}  // namespace greentrainer
