#pragma once

#include <algorithm>
#include <chrono>

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Output head and loss in one: logits = hidden (labelled, width) weight^T, weight (vocabulary, width), + bias if there
/// is one; with a cap, logits become logit_cap * tanh(logits / logit_cap); softmax cross-entropy against the batch's
/// labels. Works in chunks of rows, so that (labelled x vocabulary) never exists as a whole; in training each chunk's
/// forward and backward are done at once and its logits are never computed twice. The loss is summed; gradients carry
/// LossTarget::scale.
struct CrossEntropyHead {
  static constexpr std::string_view kind = "cross_entropy_head";
  static constexpr bool is_loss = true;
  static constexpr BitSet any_format = bit(0);
  enum Part { grad_logits, grad_input, grad_weight, grad_bias };

  Extent width = 0;
  Extent vocabulary = 0;
  bool bias = false;
  double logit_cap = 0;  ///< what logits are limited to, smoothly; 0: nothing

  std::vector<ValueShape> input_shapes() const { return {{Rows::labelled_tokens, width}}; }
  std::vector<ValueShape> output_shapes() const { return {}; }
  std::vector<ParameterShape> parameter_shapes() const {
    std::vector<ParameterShape> shapes = {{vocabulary, width}};
    if (bias) shapes.push_back({vocabulary});
    return shapes;
  }
  std::vector<GradPart> parts() const {
    using enum GradPart::Kind;
    std::vector<GradPart> parts = {
        {.name = "grad_logits", .kind = shared},
        {.name = "grad_input", .kind = input, .index = 0, .after = bit(grad_logits)},
        {.name = "grad_weight", .kind = parameter, .index = 0, .after = bit(grad_logits), .keeps_inputs = bit(0)}};
    if (bias) parts.push_back({.name = "grad_bias", .kind = parameter, .index = 1, .after = bit(grad_logits)});
    return parts;
  }

  LinearCost forward_cost() const {
    return per(Rows::labelled_tokens,
               2 * width * vocabulary + ((bias ? 4 : 3) + (logit_cap > 0 ? 3 : 0)) * vocabulary + 3);
  }
  LinearCost part_cost(int part, Write) const {
    switch (part) {
      case grad_logits: return per(Rows::labelled_tokens, (logit_cap > 0 ? 10 : 6) * vocabulary + 3);
      case grad_bias: return per(Rows::labelled_tokens, vocabulary);
      default: return per(Rows::labelled_tokens, 2 * width * vocabulary);
    }
  }

  /// Rows a chunk: about 32 MiB of float logits, and never so few that the products become thin.
  Extent chunk_rows() const { return std::clamp<Extent>((Extent{1} << 23) / vocabulary, 64, 1024); }
  /// Of logits, and where they are capped, of what the gradient of the cap reads.
  Extent workspace(const Workload& workload) const {
    return (logit_cap > 0 ? 2 : 1) * std::min(chunk_rows(), workload[Measure::labelled_tokens]) * vocabulary;
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    if (call.batch.labels == nullptr) {
      compute_logits(call, call.input(0), call.loss.logits);
      cap(call.backend, call.loss.logits, {});
      return;
    }
    for_chunks(call, call.input(0), [](Extent, Matrix<typename ForwardCall<B>::T>, auto) {});
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    using T = typename BackwardCall<B>::T;
    for_chunks(call, call.input(0), [&](Extent first, Matrix<T> logits, Matrix<const T> hidden) {
      if (!call.wants(grad_logits)) return;
      call.backend.cross_entropy_grad(logits, call.batch.labels + first, call.loss.scale);
      if (logit_cap > 0) call.backend.activation_grad(Activation::tanh, logits, shares_of(logits), logits);
      if (call.wants(grad_weight))
        call.backend.matmul(logits, Transpose::yes, hidden, Transpose::no, call.grad_parameter(0), Write::accumulate);
      if (bias && call.wants(grad_bias)) call.backend.bias_grad(logits, call.grad_parameter(1).data);
      if (call.wants(grad_input)) {
        const auto dx = call.grad_input(0).rows_from(first, logits.rows);
        matmul(call.backend, logits, Transpose::no, call.weight(0), Transpose::no, dx, Write::overwrite);
      }
    });
  }

 private:
  /// Behind a chunk's logits in the workspace: logits as shares of the cap, before their tanh.
  template <class T>
  static Matrix<T> shares_of(Matrix<T> logits) {
    return {logits.data + logits.size(), logits.rows, logits.cols};
  }
  /// Keeps the shares in `shares`, unless its data is null.
  template <class B, class T>
  void cap(B& backend, Matrix<T> logits, Matrix<T> shares) const {
    if (logit_cap <= 0) return;
    backend.scale(logits.size(), logits.data, 1 / logit_cap);
    if (shares) backend.copy(shares.data, logits.data, logits.size() * static_cast<Bytes>(sizeof(T)));
    backend.activation_forward(Activation::tanh, logits, logits);
    backend.scale(logits.size(), logits.data, logit_cap);
  }
  template <class Call, class T>
  void compute_logits(Call& call, Matrix<const T> hidden, Matrix<T> logits) const {
    matmul(call.backend, hidden, Transpose::no, call.weight(0), Transpose::yes, logits, Write::overwrite);
    if (bias) call.backend.add_bias(logits, call.parameter(1).data);
  }
  template <class Call, class T, class Then>
  void for_chunks(Call& call, Matrix<const T> hidden, Then then) const {
    for (Extent first = 0; first < hidden.rows; first += chunk_rows()) {
      const Extent rows = std::min(chunk_rows(), hidden.rows - first);
      const Matrix<T> logits{call.workspace, rows, vocabulary};
      const auto chunk = hidden.rows_from(first, rows);
      const auto start = std::chrono::steady_clock::now();
      compute_logits(call, chunk, logits);
      cap(call.backend, logits, shares_of(logits));
      if (call.loss.logits) {
        call.backend.copy(call.loss.logits.data + first * vocabulary, logits.data,
                          logits.size() * static_cast<Bytes>(sizeof(T)));
      }
      T* row_losses = call.loss.row_losses == nullptr ? nullptr : call.loss.row_losses + first;
      call.backend.cross_entropy_forward(logits, call.batch.labels + first, row_losses, call.loss.loss_sum);
      call.loss.forward_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      then(first, logits, chunk);
    }
  }
};

}  // namespace greentrainer
