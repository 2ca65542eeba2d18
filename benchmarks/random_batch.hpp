#pragma once

#include <cstdint>
#include <greentrainer/core/batch.hpp>
#include <greentrainer/core/random.hpp>
#include <greentrainer/graph/tensor_graph.hpp>
#include <string>
#include <vector>

namespace greentrainer::benchmarks {

/// Sequences of equal length and random ids; of each, the last `labelled` rows that have a next token carry loss.
inline Batch random_batch(Extent sequences, Extent tokens, Extent labelled, Extent vocabulary) {
  CounterRandom random(1, "tokens");
  const auto draw = [&] { return static_cast<Index>(random.below(static_cast<std::uint32_t>(vocabulary))); };
  Batch batch;
  for (Extent s = 0; s < sequences; ++s) {
    for (Extent t = 0; t < tokens; ++t) {
      if (t + 1 < tokens && t + 1 >= tokens - labelled) {
        batch.label_rows.push_back(static_cast<Index>(batch.decoder.ids.size()));
        batch.labels.push_back(draw());
      }
      batch.decoder.ids.push_back(draw());
      batch.decoder.positions.push_back(static_cast<Index>(t));
    }
    batch.decoder.offsets.push_back(static_cast<Index>(batch.decoder.ids.size()));
  }
  return batch;
}

/// Importances in proportion to size, times a random number: selections of all kinds of tensors at all depths.
template <class P>
std::vector<double> random_importance(const TensorGraph<P>& graph, std::uint64_t seed) {
  CounterRandom random(seed, "importance");
  std::vector<double> importance;
  for (const Parameter& p : graph.parameters()) importance.push_back(static_cast<double>(p.size()) * random.uniform());
  return importance;
}

}  // namespace greentrainer::benchmarks
