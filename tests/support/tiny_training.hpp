#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/adapters.hpp"
#include "greentrainer/models/architectures.hpp"
#include "support/paths.hpp"
#include "support/tiny_models.hpp"

namespace greentrainer::testing {

/// A tiny model of tests/golden/models with random weights, the same on every backend, and what the options add.
template <Backend B>
Model<B> tiny_model(B& backend, const std::string& name, const GraphOptions& options = {}) {
  const auto config = ConfigReader::from_file(testing::source_folder() / "tests/golden/models" / name / "config.json");
  return KnownArchitectures::read(config, [&](const auto& architecture) {
    Model<B> model(backend, graph_of<B>(architecture, options), facts_of<B>(architecture, options));
    randomize(model, 11);
    return model;
  });
}

/// Sequences that count upwards: easy to learn, of many lengths.
inline std::vector<Example> counting_examples(std::size_t count, std::size_t vocabulary = 96) {
  std::vector<Example> examples;
  for (std::size_t i = 0; i < count; ++i) {
    Example e;
    for (std::size_t t = 0; t < 6 + i % 5; ++t) {
      e.input_ids.push_back(static_cast<Index>((7 * i + t) % vocabulary));
      e.labels.push_back(t < 2 ? ignore_label : e.input_ids.back());
    }
    examples.push_back(std::move(e));
  }
  return examples;
}

template <Backend B>
std::vector<std::vector<typename B::Scalar>> weights_of(const Model<B>& model) {
  std::vector<std::vector<typename B::Scalar>> all;
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id)
    all.push_back(model.parameters()[id].download());
  return all;
}

}  // namespace greentrainer::testing
