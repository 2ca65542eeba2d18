#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// y = x / sqrt(mean(x^2) + epsilon) * (offset + weight) over each of `groups` stretches of `width` columns of a row
/// (R, groups * width): 1 for a whole row, the heads for queries and keys. All have the same weight (width). Keeps x
/// and one statistic a stretch.
struct RmsNorm {
  static constexpr std::string_view kind = "rms_norm";
  static constexpr bool row_by_row = true;
  enum Part { grad_input, grad_weight };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;
  double epsilon = 1e-6;
  Extent groups = 1;
  double offset = 0;  ///< 1 where checkpoints have the weight less one

  std::vector<ValueShape> input_shapes() const { return {{rows, groups * width}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, groups * width}, {rows, groups, false}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {{width}}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input",
             .kind = GradPart::Kind::input,
             .index = 0,
             .keeps_inputs = bit(0),
             .keeps_outputs = bit(1),
             .adds = true},
            {.name = "grad_weight",
             .kind = GradPart::Kind::parameter,
             .index = 0,
             .keeps_inputs = bit(0),
             .keeps_outputs = bit(1)}};
  }

  LinearCost forward_cost() const { return per(rows, groups * ((offset == 0 ? 4 : 5) * width + 4)); }
  LinearCost part_cost(int part, Write write) const {
    if (part == grad_weight) return per(rows, groups * 3 * width);
    const Extent added = write == Write::accumulate ? width : 0;
    return per(rows, groups * ((offset == 0 ? 7 : 9) * width + 4 + added));
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.rms_norm_forward(by_group(call.input(0)), call.parameter(0).data, offset, epsilon,
                                  by_group(call.output(0)), statistics(call.output(1)));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    const auto dy = by_group(call.grad_output()), x = by_group(call.input(0));
    const auto stats = statistics(call.output(1));
    if (call.wants(grad_weight)) call.backend.rms_norm_grad_weight(dy, x, stats, call.grad_parameter(0).data);
    if (call.wants(grad_input)) {
      call.backend.rms_norm_grad_input(dy, x, call.parameter(0).data, offset, stats, by_group(call.grad_input(0)),
                                       call.write(0));
    }
  }

 private:
  // Values lie row after row: with a row for each group, kernels see rows of one.
  template <class T>
  Matrix<T> by_group(Matrix<T> x) const {
    return groups == 1 ? x : Matrix<T>{x.data, x.rows * groups, width};
  }
  template <class T>
  Matrix<T> statistics(Matrix<T> stats) const {
    return groups == 1 ? stats : Matrix<T>{stats.data, stats.rows * groups, 1};
  }
};

}  // namespace greentrainer
