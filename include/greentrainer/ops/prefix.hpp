#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Puts a table's rows (length, width) in front of each sequence's rows: keys or values that are learned (prefix
/// tuning). In a pass that goes on from a cache, which begins with them, rows come through as they are.
struct Prefix {
  static constexpr std::string_view kind = "prefix";
  enum Part { grad_input, grad_table };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;
  Extent length = 0;

  std::vector<ValueShape> input_shapes() const { return {{rows, width}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width, true, length}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {{length, width}}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input", .kind = GradPart::Kind::input, .index = 0},
            {.name = "grad_table", .kind = GradPart::Kind::parameter, .index = 0}};
  }

  LinearCost forward_cost() const { return {}; }
  LinearCost part_cost(int part, Write) const {
    return part == grad_table ? per(sequences_of(rows), length * width) : LinearCost{};
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    const auto x = call.input(0);
    const auto y = call.output(0);
    if (tokens_of(call.batch, rows).prefix == 0) return call.backend.copy_matrix(x, y.rows_from(0, x.rows));
    for_sequences(call.batch, [&](Extent first, Extent count, Extent prefixed) {
      call.backend.copy_matrix(call.parameter(0), y.rows_from(prefixed, length));
      call.backend.copy_matrix(x.rows_from(first, count), y.rows_from(prefixed + length, count));
    });
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    const auto dy = call.grad_output();
    for_sequences(call.batch, [&](Extent first, Extent count, Extent prefixed) {
      if (call.wants(grad_table)) call.backend.accumulate(dy.rows_from(prefixed, length), call.grad_parameter(0));
      if (call.wants(grad_input))
        call.backend.copy_matrix(dy.rows_from(prefixed + length, count), call.grad_input(0).rows_from(first, count));
    });
  }

 private:
  /// visit(first row, rows, first row behind the prefixes of the sequences before)
  template <class Visit>
  void for_sequences(const DeviceBatch& batch, Visit visit) const {
    const auto offsets = tokens_of(batch, rows).offsets;
    for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
      visit(offsets[s], offsets[s + 1] - offsets[s], offsets[s] + static_cast<Extent>(s) * length);
    }
  }
};

}  // namespace greentrainer
