#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "greentrainer/blocks/block_builder.hpp"
#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/random.hpp"

namespace greentrainer::testing {

/// Two hidden layers on dense rows.
template <class P>
ValueId dense_layers(TensorGraph<P>& graph, BlockBuilder<P>& b, Extent features, Extent hidden) {
  graph.parameter("layer0.weight", {hidden, features});
  graph.parameter("layer0.bias", {hidden});
  graph.parameter("norm.weight", {hidden});
  graph.parameter("norm.bias", {hidden});
  graph.parameter("layer1.weight", {hidden, hidden});
  ValueId x = b.activate("gelu0", b.linear("layer0", b.dense_input("features", features)), Activation::gelu);
  x = b.layer_norm("norm", x, 1e-5);
  return b.add("residual", x, b.activate("gelu1", b.linear("layer1", x), Activation::gelu));
}

template <class P>
TensorGraph<P> regression_graph(Extent features, Extent hidden, Extent outputs) {
  TensorGraph<P> graph;
  BlockBuilder<P> b(graph);
  const ValueId x = dense_layers(graph, b, features, hidden);
  graph.parameter("output.weight", {outputs, hidden});
  graph.parameter("output.bias", {outputs});
  b.squared_error("loss", b.linear("output", b.gather_labelled("labelled_rows", x)));
  b.finish();
  return graph;
}

template <class P>
TensorGraph<P> dense_classes_graph(Extent features, Extent hidden, Extent classes) {
  TensorGraph<P> graph;
  BlockBuilder<P> b(graph);
  const ValueId x = dense_layers(graph, b, features, hidden);
  graph.parameter("output.weight", {classes, hidden});
  graph.parameter("output.bias", {classes});
  b.cross_entropy_head("output", b.gather_labelled("labelled_rows", x), "output.weight");
  b.finish();
  return graph;
}

/// The sum of the means of rows and of what is computed from them: a mean's gradient is added to another.
template <class P>
TensorGraph<P> two_means_graph(Extent vocabulary, Extent width, Extent classes) {
  TensorGraph<P> graph;
  graph.parameter("tokens.weight", {vocabulary, width});
  graph.parameter("hidden.weight", {width, width});
  graph.parameter("score.weight", {classes, width});
  BlockBuilder<P> b(graph);
  const ValueId x = b.embedding("tokens", {.rows = Rows::decoder_tokens});
  const ValueId mean = b.mean_rows("mean", x);
  const ValueId hidden = b.mean_rows("hidden_mean", b.activate("tanh", b.linear("hidden", x), Activation::tanh));
  b.cross_entropy_head("score", b.add("sum", mean, hidden), "score.weight");
  b.finish();
  return graph;
}

inline std::vector<float> random_numbers(CounterRandom& random, Extent count) {
  std::vector<float> numbers;
  for (Extent i = 0; i < count; ++i) numbers.push_back(static_cast<float>(random.normal()));
  return numbers;
}

/// Rows whose targets are sums of sines of their features.
inline std::vector<Example> regression_rows(std::size_t count, Extent features, Extent outputs) {
  CounterRandom random(5, "rows");
  std::vector<Example> examples;
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<float> x = random_numbers(random, features);
    std::vector<float> y;
    for (Extent o = 0; o < outputs; ++o) {
      float sum = 0;
      for (std::size_t f = 0; f < x.size(); ++f) sum += std::sin(x[f] + static_cast<float>(o) * static_cast<float>(f));
      y.push_back(sum);
    }
    examples.push_back(regression_example(x, y));
  }
  return examples;
}

/// Rows of the class whose feature is the largest of the first `classes`.
inline std::vector<Example> dense_class_rows(std::size_t count, Extent features, Extent classes) {
  CounterRandom random(6, "rows");
  std::vector<Example> examples;
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<float> x = random_numbers(random, features);
    const auto largest = std::max_element(x.begin(), x.begin() + classes);
    examples.push_back(dense_class_example(x, static_cast<Index>(largest - x.begin())));
  }
  return examples;
}

/// Sequences of random tokens, of which one says the class.
inline std::vector<Example> class_sequences(std::size_t count, Extent vocabulary, Extent classes, bool encoder) {
  CounterRandom random(7, "sequences");
  std::vector<Example> examples;
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<Index> ids;
    for (std::size_t t = 0; t < 3 + i % 4; ++t) {
      ids.push_back(static_cast<Index>(classes) +
                    static_cast<Index>(random.below(static_cast<std::uint32_t>(vocabulary - classes))));
    }
    const auto label = static_cast<Index>(random.below(static_cast<std::uint32_t>(classes)));
    ids[i % ids.size()] = label;
    examples.push_back(encoder ? encoder_class_example(ids, label) : class_example(ids, label));
  }
  return examples;
}

}  // namespace greentrainer::testing
