#pragma once

#include <chrono>
#include <cmath>

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Loss: the squared difference of predictions (labelled, outputs) and the batch's targets, averaged over a row's
/// outputs and summed over rows. With LossTarget::scale 1 / rows it is torch.nn.functional.mse_loss. Where
/// LossTarget::logits are asked for they are the predictions. Throws DataError for a batch with other targets.
struct SquaredError {
  static constexpr std::string_view kind = "squared_error";
  static constexpr bool is_loss = true;
  enum Part { grad_input };

  Extent outputs = 0;

  std::vector<ValueShape> input_shapes() const { return {{Rows::labelled_tokens, outputs}}; }
  std::vector<ValueShape> output_shapes() const { return {}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input", .kind = GradPart::Kind::input, .index = 0, .keeps_inputs = bit(0)}};
  }

  /// Difference 2, mean 1, the row's sum 2, the sum of all 2.
  LinearCost forward_cost() const { return per(Rows::labelled_tokens, 7 * outputs); }
  LinearCost part_cost(int, Write) const { return per(Rows::labelled_tokens, outputs); }

  /// Differences, and the rows' losses where nobody asks for them.
  Extent workspace(const Workload& workload) const { return workload[Measure::labelled_tokens] * (outputs + 1); }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    if (call.loss.logits) call.backend.copy_matrix(call.input(0), call.loss.logits);
    if (call.batch.labels != nullptr) differences(call);
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    const auto start = std::chrono::steady_clock::now();
    const auto difference = differences(call);
    call.loss.forward_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!call.wants(grad_input)) return;
    call.backend.scale(difference.size(), difference.data, 2 * call.loss.scale * root_of_mean());
    call.backend.copy_matrix(difference, call.grad_input(0));
  }

 private:
  double root_of_mean() const { return std::sqrt(1.0 / static_cast<double>(outputs)); }

  /// (prediction - target) / sqrt(outputs), in the workspace: its squares add up to the loss, which is added.
  template <class Call>
  Matrix<typename Call::T> differences(Call& call) const {
    const auto y = call.input(0);
    const auto& targets = call.numbers.targets;
    if (y.rows > 0 && (targets.rows != y.rows || targets.cols != outputs)) {
      throw DataError(kind, "targets",
                      text("expected ", outputs, " numbers for each of ", y.rows, " labelled rows, got ", targets.cols,
                           " for ", targets.rows));
    }
    const Matrix<typename Call::T> difference{call.workspace, y.rows, outputs};
    if (y.rows == 0) return difference;
    auto* const row_losses =
        call.loss.row_losses != nullptr ? call.loss.row_losses : call.workspace + difference.size();
    call.backend.copy_matrix(targets, difference);
    call.backend.scale(difference.size(), difference.data, -1);
    call.backend.accumulate(y, difference);
    call.backend.scale(difference.size(), difference.data, root_of_mean());
    call.backend.dot_rows(difference, difference, {row_losses, y.rows, 1});
    call.backend.sum_of_squares(difference.size(), difference.data, call.loss.loss_sum);
    return difference;
  }
};

}  // namespace greentrainer
