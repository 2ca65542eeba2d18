#pragma once

#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/ops/dense_input.hpp"
#include "greentrainer/ops/squared_error.hpp"

namespace greentrainer {

/// The operator itself, or null where it is of another type.
template <class Op, class P>
const Op* operator_as(const AnyOperator<P>& op) {
  const auto* erased = dynamic_cast<const ErasedOperator<Op, P>*>(&op);
  return erased == nullptr ? nullptr : &erased->op();
}

/// How many numbers a batch brings for a graph.
struct BatchNumbers {
  Extent features = 0;  ///< of each row of the decoder stream (DenseInput)
  Extent targets = 0;   ///< of each labelled row (SquaredError)
};

/// Throws ConfigError for a graph whose dense inputs differ in width: a row has its features once.
template <class P>
BatchNumbers batch_numbers(const TensorGraph<P>& graph) {
  BatchNumbers numbers;
  for (const auto& node : graph.operators()) {
    if (const auto* loss = operator_as<SquaredError>(*node.op)) numbers.targets = loss->outputs;
    const auto* input = operator_as<DenseInput>(*node.op);
    if (input == nullptr) continue;
    if (numbers.features != 0 && numbers.features != input->width) {
      throw ConfigError(
          "TensorGraph", node.name,
          text("expected the width of the graph's other dense input, ", numbers.features, ", got ", input->width));
    }
    numbers.features = input->width;
  }
  return numbers;
}

}  // namespace greentrainer
