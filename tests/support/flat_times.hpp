#pragma once

#include <memory>
#include <utility>

#include "greentrainer/cost/part_size.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/optim/adamw.hpp"

namespace greentrainer::testing {

/// So many picoseconds for each FLOP (or element) of a pass, for each trained element, and for each batch.
template <Backend B>
std::shared_ptr<const OperatorTimes> flat_times(const Model<B>& model, double per_unit, double per_update,
                                                double per_pass, double watts = 0) {
  const auto& graph = model.graph();
  OperatorTimes times{.parts = {}, .per_pass = per_pass, .per_update = {}, .per_clipped = per_update, .watts = watts};
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
    for (int part = forward_part; part < static_cast<int>(graph.op(id).op->parts().size()); ++part)
      times.parts[part_key(graph, id, part)] = {.per_unit = per_unit};
  }
  times.per_update[update_key(update_flops_per_element(AdamWOptions{}), 8)] = per_update;
  return std::make_shared<const OperatorTimes>(std::move(times));
}

}  // namespace greentrainer::testing
