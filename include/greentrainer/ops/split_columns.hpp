#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Takes apart a projection (R, groups * sum of widths), in which stretches of these widths follow each other in every
/// group: output i is (R, groups * widths[i]). Each head's query, key and value side by side are groups of three equal
/// widths; queries, then keys, then values one group of three; gate and up projections one group of two.
struct SplitColumns {
  static constexpr std::string_view kind = "split_columns";
  static constexpr bool row_by_row = true;
  enum Part { grad_input };

  Rows rows = Rows::decoder_tokens;
  Extent groups = 1;
  std::vector<Extent> widths = {};
  BitSet constant_outputs = 0;  ///< whose gradient is zero, whoever reads them

  std::vector<ValueShape> input_shapes() const { return {{rows, groups * group_width()}}; }
  std::vector<ValueShape> output_shapes() const {
    std::vector<ValueShape> shapes;
    for (std::size_t i = 0; i < widths.size(); ++i)
      shapes.push_back({rows, groups * widths[i], !is_constant(static_cast<int>(i))});
    return shapes;
  }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const { return {{.name = "grad_input", .kind = GradPart::Kind::input, .index = 0}}; }

  LinearCost forward_cost() const { return {}; }
  LinearCost part_cost(int, Write) const { return {}; }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    for_outputs([&](int i, Extent first, Extent width) {
      call.backend.copy_matrix(stretch(call.input(0), first, width), by_group(call.output(i), width));
    });
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    const auto all = call.grad_input(0);
    if (constant_outputs != 0)
      call.backend.zero(all.data, all.size() * static_cast<Extent>(sizeof(typename BackwardCall<B>::T)));
    for_outputs([&](int i, Extent first, Extent width) {
      if (is_constant(i)) return;
      const auto grad = call.grad_output(i);
      call.backend.copy_matrix(by_group(grad, width), stretch(all, first, width));
    });
  }

 private:
  bool is_constant(int i) const { return ((constant_outputs >> i) & 1U) != 0; }
  Extent group_width() const {
    Extent sum = 0;
    for (const Extent width : widths) sum += width;
    return sum;
  }
  /// visit(output, first column in a group, columns)
  template <class Visit>
  void for_outputs(Visit visit) const {
    Extent first = 0;
    for (std::size_t i = 0; i < widths.size(); first += widths[i++]) visit(static_cast<int>(i), first, widths[i]);
  }
  // With a row for each group, outputs are columns.
  template <class T>
  Matrix<T> by_group(Matrix<T> x, Extent width) const {
    return {x.data, x.rows * groups, width};
  }
  template <class T>
  Matrix<T> stretch(Matrix<T> x, Extent first, Extent width) const {
    return {x.data + first, x.rows * groups, width, group_width()};
  }
};

}  // namespace greentrainer
