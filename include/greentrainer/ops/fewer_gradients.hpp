#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Which of an operator's gradients are left.
enum class LeftGradients { none, parameters };

/// Another operator with a part of its backward pass left out: what it reads row by row are constants. With `none` so
/// is what it computes; with `parameters` gradients reach its parameters and go no further.
template <class P>
class FewerGradients final : public AnyOperator<P> {
 public:
  FewerGradients(std::shared_ptr<const AnyOperator<P>> op, LeftGradients left) : op_(std::move(op)), left_(left) {
    if (left == LeftGradients::none) return;
    const std::vector<GradPart>& all = op_->parts();
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].kind == GradPart::Kind::input) continue;
      GradPart part = all[i];
      part.after = 0;
      for (std::size_t before = 0; before < numbers_.size(); ++before) {
        if (((all[i].after >> numbers_[before]) & 1U) != 0) part.after |= bit(static_cast<int>(before));
      }
      parts_.push_back(part);
      numbers_.push_back(static_cast<int>(i));
    }
  }

  std::string_view kind() const override { return op_->kind(); }
  std::vector<ValueShape> input_shapes() const override {
    std::vector<ValueShape> shapes = op_->input_shapes();
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (((op_->row_inputs() >> i) & 1U) != 0) shapes[i].differentiable = false;
    }
    return shapes;
  }
  std::vector<ValueShape> output_shapes() const override {
    std::vector<ValueShape> shapes = op_->output_shapes();
    for (ValueShape& shape : shapes) shape.differentiable = shape.differentiable && left_ == LeftGradients::parameters;
    return shapes;
  }
  std::vector<ParameterShape> parameter_shapes() const override { return op_->parameter_shapes(); }
  const std::vector<GradPart>& parts() const override { return parts_; }

  LinearCost forward_cost() const override { return op_->forward_cost(); }
  LinearCost part_cost(int part, Write write) const override {
    return op_->part_cost(numbers_[static_cast<std::size_t>(part)], write);
  }
  int in_place_input() const override { return op_->in_place_input(); }
  BitSet remembered_inputs() const override { return op_->remembered_inputs(); }
  std::shared_ptr<const AnyOperator<P>> on_rows(Rows rows) const override {
    auto other = op_->on_rows(rows);
    return other == nullptr ? nullptr : std::make_shared<FewerGradients>(std::move(other), left_);
  }
  BitSet row_inputs() const override { return op_->row_inputs(); }
  bool is_loss() const override { return op_->is_loss(); }
  BitSet any_format() const override { return op_->any_format(); }
  bool is_random() const override { return op_->is_random(); }
  Extent workspace(const Workload& workload) const override { return op_->workspace(workload); }

  void forward(ForwardCall<P>& call) const override { op_->forward(call); }
  void backward(BackwardCall<P>& call) const override {
    BackwardCall<P> of_all = call;
    of_all.parts = 0;
    for (std::size_t part = 0; part < numbers_.size(); ++part) {
      if (call.wants(static_cast<int>(part))) of_all.parts |= bit(numbers_[part]);
    }
    op_->backward(of_all);
  }

 private:
  std::shared_ptr<const AnyOperator<P>> op_;
  LeftGradients left_;
  std::vector<GradPart> parts_;
  std::vector<int> numbers_;  ///< of each part among the operator's own
};

}  // namespace greentrainer
