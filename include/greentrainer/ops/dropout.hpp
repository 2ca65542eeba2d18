#pragma once

#include <string>

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// y = x / (1 - probability) (R, width), without a random share of the elements: in training; otherwise y = x. Keeps
/// nothing: the mask is a function of the pass's seed, `purpose` (the operator's name) and the element's place in x,
/// and is drawn again for the gradient.
struct Dropout {
  static constexpr std::string_view kind = "dropout";
  static constexpr bool row_by_row = true;
  static constexpr bool is_random = true;
  enum Part { grad_input };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;
  double probability = 0;
  std::string purpose = {};

  std::vector<ValueShape> input_shapes() const { return {{rows, width}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input", .kind = GradPart::Kind::input, .index = 0, .in_place = true, .adds = true}};
  }
  int in_place_input() const { return 0; }

  /// Where nothing is dropped, the kernel multiplies with 1: a pass costs the same either way.
  LinearCost forward_cost() const { return per(rows, width); }
  LinearCost part_cost(int, Write write) const { return per(rows, write == Write::accumulate ? 2 * width : width); }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.dropout(call.input(0), mask(call.dropout), call.output(0), Write::overwrite);
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    call.backend.dropout(call.grad_output(), mask(call.dropout), call.grad_input(0), call.write(0));
  }

 private:
  DropoutMask mask(const DropoutSeed* seed) const {
    if (seed == nullptr) return {};
    return {.stream = RandomStream(seed->seed, purpose, seed->pass), .probability = probability};
  }
};

}  // namespace greentrainer
