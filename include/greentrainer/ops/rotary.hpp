#pragma once

#include <algorithm>

#include "greentrainer/core/rotary_frequencies.hpp"
#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Rotary position embedding of (R, heads * shape.head_dim).
struct Rotary {
  static constexpr std::string_view kind = "rotary";
  static constexpr bool row_by_row = true;
  enum Part { grad_input };

  Rows rows = Rows::decoder_tokens;
  Extent heads = 0;
  RotaryShape shape = {};

  std::vector<ValueShape> input_shapes() const { return {{rows, heads * shape.head_dim}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, heads * shape.head_dim}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input", .kind = GradPart::Kind::input, .index = 0, .in_place = true}};
  }
  int in_place_input() const { return 0; }

  LinearCost forward_cost() const { return per(rows, 3 * heads * shape.columns()); }
  LinearCost part_cost(int, Write) const { return per(rows, 3 * heads * shape.columns()); }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    turn(call.backend, tokens_of(call.batch, rows), call.input(0), Rotation::forward, call.output(0));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    turn(call.backend, tokens_of(call.batch, rows), call.grad_output(), Rotation::backward, call.grad_input(0));
  }

 private:
  /// All rows at once, or sequences that are next to each other and of one kind.
  template <class B, class T>
  void turn(B& backend, const DeviceTokens& tokens, Matrix<const T> x, Rotation rotation, Matrix<T> y) const {
    if (shape.scaling.factors_beyond.empty()) return backend.rotary(x, tokens.positions, shape, rotation, y);
    const auto beyond = [&](const SequenceExtent& s) { return is_beyond(shape.scaling, s.length); };
    Extent first = 0;
    for (auto s = tokens.extents.begin(); s != tokens.extents.end();) {
      const auto end = std::find_if(s, tokens.extents.end(), [&](const auto& t) { return beyond(t) != beyond(*s); });
      const RotaryShape turned = rotary_of_length(shape, s->length);
      Extent count = 0;
      for (; s != end; ++s) count += s->rows;
      if (count > 0)
        backend.rotary(x.rows_from(first, count), tokens.positions + first, turned, rotation,
                       y.rows_from(first, count));
      first += count;
    }
    if (first != x.rows)
      throw ShapeError("rotary", "sequences", text("expected them to have ", x.rows, " rows, got ", first));
  }
};

}  // namespace greentrainer
