#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/random.hpp"
#include "greentrainer/graph/class_head.hpp"
#include "greentrainer/models/model.hpp"

namespace greentrainer {

/// A classifier on a model's own weights, which are copied: the model may go afterwards. The head's first values are
/// drawn by the seed from N(0, 0.02^2), as transformers draws them: small, so that classes begin about equally likely
/// whatever the size of a trained model's values. Throws what with_class_head throws. Train it on class_example, or on
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
  const auto& parameters = classifier.graph().parameters();
  for (ParameterId id = 0; id < static_cast<ParameterId>(parameters.size()); ++id) {
    const Parameter& p = parameters[static_cast<std::size_t>(id)];
    std::vector<T> values;
    if (const auto from = model.graph().find(p.name)) {
      values = model.parameters().values(*from);
    } else {  // the head's
      CounterRandom random(seed, "first values of " + p.name);
      for (Extent i = 0; i < p.size(); ++i) values.push_back(static_cast<T>(0.02 * random.normal()));
    }
    classifier.parameters()[id].upload(values);
  }
  return classifier;
}

}  // namespace greentrainer
