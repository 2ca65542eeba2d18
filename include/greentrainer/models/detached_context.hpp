#pragma once

#include <utility>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/graph/detached_context.hpp"
#include "greentrainer/models/model.hpp"

namespace greentrainer {

/// The same weights, trained with approximate gradients that reach no token without a label, or no further than its
/// keys and values (see the function of the same name on graphs): to be given to a Trainer instead of the model.
/// Evaluation, generation and saving stay the model's. Ratios are of its exact full fine-tuning. Throws ConfigError for
/// an encoder-decoder.
template <Backend B>
Model<B> with_detached_context(Model<B>& model, ContextGradients left = ContextGradients::none) {
  ModelFacts facts = model.facts();
  if (!facts.full_cost) facts.full_cost = full_fine_tuning_cost(model.graph(), ExactCost<B>{});
  return model.with_graph(with_detached_context(model.graph(), left), std::move(facts));
}

}  // namespace greentrainer
