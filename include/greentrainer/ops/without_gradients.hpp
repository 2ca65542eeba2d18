#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Another operator's forward pass alone: no gradient goes through it, to its inputs or to its parameters.
template <class P>
class WithoutGradients final : public AnyOperator<P> {
 public:
  explicit WithoutGradients(std::shared_ptr<const AnyOperator<P>> op) : op_(std::move(op)) {}

  std::string_view kind() const override { return op_->kind(); }
  /// What it computes are constants, and so is what it reads row by row.
  std::vector<ValueShape> input_shapes() const override {
    std::vector<ValueShape> shapes = op_->input_shapes();
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (((op_->row_inputs() >> i) & 1U) != 0) shapes[i].differentiable = false;
    }
    return shapes;
  }
  std::vector<ValueShape> output_shapes() const override {
    std::vector<ValueShape> shapes = op_->output_shapes();
    for (ValueShape& shape : shapes) shape.differentiable = false;
    return shapes;
  }
  std::vector<ParameterShape> parameter_shapes() const override { return op_->parameter_shapes(); }
  const std::vector<GradPart>& parts() const override { return no_parts_; }

  LinearCost forward_cost() const override { return op_->forward_cost(); }
  LinearCost part_cost(int, Write) const override { return {}; }
  int in_place_input() const override { return op_->in_place_input(); }
  BitSet remembered_inputs() const override { return op_->remembered_inputs(); }
  std::shared_ptr<const AnyOperator<P>> on_rows(Rows rows) const override {
    auto other = op_->on_rows(rows);
    return other == nullptr ? nullptr : std::make_shared<WithoutGradients>(std::move(other));
  }
  BitSet row_inputs() const override { return op_->row_inputs(); }
  bool is_loss() const override { return op_->is_loss(); }
  BitSet any_format() const override { return op_->any_format(); }
  bool is_random() const override { return op_->is_random(); }
  Extent workspace(const Workload& workload) const override { return op_->workspace(workload); }

  void forward(ForwardCall<P>& call) const override { op_->forward(call); }
  void backward(BackwardCall<P>&) const override {}

 private:
  std::shared_ptr<const AnyOperator<P>> op_;
  std::vector<GradPart> no_parts_;
};

}  // namespace greentrainer
