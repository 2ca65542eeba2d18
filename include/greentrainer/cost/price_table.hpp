#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "greentrainer/concepts/cost_model.hpp"
#include "greentrainer/graph/tensor_graph.hpp"

namespace greentrainer {

/// The prices of a graph by a cost model, each asked for once. It is a cost model itself, for that graph alone, and
/// makes several sums cheap.
template <class P, CostModel<TensorGraph<P>> C>
class PriceTable {
 public:
  static constexpr std::string_view unit() { return C::unit(); }

  /// Asks `cost` for every operator's forward pass and every part of its backward pass.
  PriceTable(const TensorGraph<P>& graph, const C& cost) {
    for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
      forward_.push_back(cost.forward(graph, id));
      first_part_.push_back(parts_.size());
      const int parts = static_cast<int>(graph.op(id).op->parts().size());
      for (int p = 0; p < parts; ++p) parts_.push_back(cost.part(graph, id, p));
    }
  }

  LinearCost forward(const TensorGraph<P>&, OperatorId id) const { return forward_[static_cast<std::size_t>(id)]; }
  LinearCost part(const TensorGraph<P>&, OperatorId id, int part) const {
    return parts_[first_part_[static_cast<std::size_t>(id)] + static_cast<std::size_t>(part)];
  }

 private:
  std::vector<LinearCost> forward_, parts_;
  std::vector<std::size_t> first_part_;
};

}  // namespace greentrainer
