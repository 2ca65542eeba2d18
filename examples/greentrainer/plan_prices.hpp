#pragma once

#include <string_view>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/cost/paper_cost.hpp"
#include "greentrainer/graph/tensor_graph.hpp"
#include "plan_report.hpp"

namespace greentrainer::program {

/// What a backend says about costs, without its kernels: graphs of it cost no time to compile.
template <class B>
struct CostsOf {
  static LinearCost adjust_cost(std::string_view kind, std::string_view part, LinearCost cost) requires requires {
    B::adjust_cost(kind, part, cost);
  }
  { return B::adjust_cost(kind, part, cost); }
  static Bytes most_scratch_bytes() { return B::most_scratch_bytes(); }
  static Bytes most_decoding_bytes() { return B::most_decoding_bytes(); }
};

using PlanBackend = EigenBackend<float>;
using PlanPolicy = CostsOf<PlanBackend>;
using PlanGraph = TensorGraph<PlanPolicy>;
inline constexpr Bytes plan_element_size = sizeof(PlanBackend::Scalar);

/// Prices by the graph. The activation gradients of an operator with parameters are its first parameter's `grad_input`:
/// of a layer's weight, not its bias. A tensor that several operators read has the sum.
PlanReport price_exactly(const PlanGraph& graph, const Workload& workload);

/// Prices by the rules of the paper's program.
PlanReport price_as_published(const PlanGraph& graph, const PaperCost& cost);

}  // namespace greentrainer::program
