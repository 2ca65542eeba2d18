#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/graph/class_head.hpp"
#include "greentrainer/models/hand_built.hpp"

namespace greentrainer {

/// A classifier on a model's own weights, which are copied: the model may go afterwards. The head's weight gets its
/// first values from the seed. Throws what with_class_head throws. Train it on class_example, or on
/// encoder_class_example where an encoder is classified.
template <Backend B>
Model<B> make_classifier(Model<B>& model, const ClassHead& head, std::uint64_t seed = 0) {
  using T = typename B::Scalar;
  TensorGraph<B> graph = with_class_head(model.graph(), head);
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) graph.store_in(id, nullptr);
  ModelFacts facts = model.facts();
  facts.classes = head.classes;
  facts.numbers = batch_numbers(graph);
  facts.full_cost.reset();
  std::erase_if(facts.layer_prefixes, [&](const std::string& prefix) {
    return std::ranges::none_of(graph.parameters(), [&](const Parameter& p) { return p.name.starts_with(prefix); });
  });
  Model<B> classifier(model.backend(), std::move(graph), std::move(facts));
  initialize(classifier, seed);
  for (ParameterId id = 0; id < static_cast<ParameterId>(classifier.graph().parameters().size()); ++id) {
    const auto from = model.graph().find(classifier.graph().parameter(id).name);
    if (!from) continue;
    const std::vector<T> values = model.parameters().values(*from);
    classifier.parameters()[id].upload(values);
  }
  return classifier;
}

}  // namespace greentrainer
