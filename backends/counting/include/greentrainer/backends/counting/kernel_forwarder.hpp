#pragma once

#include "greentrainer/concepts/update_rule.hpp"

namespace greentrainer {

constexpr Extent activation_value_flops(Activation kind) {
  switch (kind) {
    case Activation::relu: return 0;
    case Activation::gelu: return 5;
    case Activation::gelu_tanh: return 9;
    case Activation::silu: return 3;
    case Activation::tanh: return 1;
    case Activation::relu_squared: return 1;
    case Activation::sigmoid: return 3;
  }
  return 0;
}
constexpr Extent activation_slope_flops(Activation kind) {
  switch (kind) {
    case Activation::relu: return 0;
    case Activation::gelu: return 11;
    case Activation::gelu_tanh: return 19;
    case Activation::silu: return 8;
    case Activation::tanh: return 4;
    case Activation::relu_squared: return 2;
    case Activation::sigmoid: return 6;
  }
  return 0;
}

/// Base of backends that wrap another: states each kernel once, with its name and its FLOPs as the contract
/// (concepts/backend.hpp) counts them from the arguments, never as the library's cost model does: the two are compared.
/// Derived offers
///   template <class Call, class... Arguments> void around(std::string_view kernel, Flops flops, Call call,
///   Arguments... arguments);
/// which is expected to do call(inner, arguments...), and Extent visible_pairs(const AttentionShape&).
template <class Derived, class T>
class KernelForwarder {
 public:
  using Const = Matrix<const T>;

  void matmul(Const x, Transpose tx, Const z, Transpose tz, Matrix<T> y, Write write) {
    const Extent k = tx == Transpose::yes ? x.rows : x.cols;
    forward(
        "matmul", 2 * y.size() * k, [](auto& b, auto... a) { b.matmul(a...); }, x, tx, z, tz, y, write);
  }
  // Of weights in storage formats, where Derived says that the backend which it wraps reads them.
  template <class D = Derived>
  requires D::reads_stored_weights void matmul(Const x, Transpose tx, const StoredMatrix& z, Transpose tz, Matrix<T> y,
                                               Write write) {
    const Extent k = tx == Transpose::yes ? x.rows : x.cols;
    forward(
        "matmul", 2 * y.size() * k, [](auto& b, auto... a) { b.matmul(a...); }, x, tx, z, tz, y, write);
  }
  template <class D = Derived>
  requires D::reads_stored_weights void embedding_forward(const StoredMatrix& table, const Index* index, Matrix<T> y) {
    forward(
        "embedding_forward", 0, [](auto& b, auto... a) { b.embedding_forward(a...); }, table, index, y);
  }
  template <class D = Derived>
  requires D::reads_stored_weights void decode(const StoredMatrix& x, Matrix<T> y) {
    forward(
        "decode", 0, [](auto& b, auto... a) { b.decode(a...); }, x, y);
  }

  void add_bias(Matrix<T> y, const T* bias) {
    forward(
        "add_bias", y.size(), [](auto& b, auto... a) { b.add_bias(a...); }, y, bias);
  }
  void bias_grad(Const x, T* out) {
    forward(
        "bias_grad", x.size(), [](auto& b, auto... a) { b.bias_grad(a...); }, x, out);
  }

  void embedding_forward(Const table, const Index* index, Matrix<T> y) {
    forward(
        "embedding_forward", 0, [](auto& b, auto... a) { b.embedding_forward(a...); }, table, index, y);
  }
  void embedding_grad_weight(Const x, const Index* index, Matrix<T> y) {
    forward(
        "embedding_grad_weight", x.size(), [](auto& b, auto... a) { b.embedding_grad_weight(a...); }, x, index, y);
  }
  void gather_rows(Const x, const Index* index, Matrix<T> y) {
    forward(
        "gather_rows", 0, [](auto& b, auto... a) { b.gather_rows(a...); }, x, index, y);
  }
  void scatter_rows(Const x, const Index* index, Matrix<T> y, Write write) {
    forward(
        "scatter_rows", added(x, write), [](auto& b, auto... a) { b.scatter_rows(a...); }, x, index, y, write);
  }

  void layer_norm_forward(Const x, const T* weight, const T* bias, double epsilon, Matrix<T> y, Matrix<T> stats) {
    forward(
        "layer_norm_forward", x.rows * ((bias == nullptr ? 7 : 8) * x.cols + 5),
        [](auto& b, auto... a) { b.layer_norm_forward(a...); }, x, weight, bias, epsilon, y, stats);
  }
  void layer_norm_grad_input(Const grad_output, Const x, const T* weight, Const stats, Matrix<T> grad_input,
                             Write write) {
    forward(
        "layer_norm_grad_input", x.rows * (13 * x.cols + 2) + added(x, write),
        [](auto& b, auto... a) { b.layer_norm_grad_input(a...); }, grad_output, x, weight, stats, grad_input, write);
  }
  void layer_norm_grad_weight(Const grad_output, Const x, Const stats, T* grad_weight) {
    forward(
        "layer_norm_grad_weight", 4 * x.size(), [](auto& b, auto... a) { b.layer_norm_grad_weight(a...); }, grad_output,
        x, stats, grad_weight);
  }
  void rms_norm_forward(Const x, const T* weight, double offset, double epsilon, Matrix<T> y, Matrix<T> stats) {
    forward(
        "rms_norm_forward", x.rows * ((offset == 0 ? 4 : 5) * x.cols + 4),
        [](auto& b, auto... a) { b.rms_norm_forward(a...); }, x, weight, offset, epsilon, y, stats);
  }
  void rms_norm_grad_input(Const grad_output, Const x, const T* weight, double offset, Const stats,
                           Matrix<T> grad_input, Write write) {
    forward(
        "rms_norm_grad_input", x.rows * ((offset == 0 ? 7 : 9) * x.cols + 4) + added(x, write),
        [](auto& b, auto... a) { b.rms_norm_grad_input(a...); }, grad_output, x, weight, offset, stats, grad_input,
        write);
  }
  void rms_norm_grad_weight(Const grad_output, Const x, Const stats, T* grad_weight) {
    forward(
        "rms_norm_grad_weight", 3 * x.size(), [](auto& b, auto... a) { b.rms_norm_grad_weight(a...); }, grad_output, x,
        stats, grad_weight);
  }

  void rotary(Const x, const Index* positions, const RotaryShape& shape, Rotation rotation, Matrix<T> y) {
    forward(
        "rotary", 3 * x.size() / shape.head_dim * shape.columns(), [](auto& b, auto... a) { b.rotary(a...); }, x,
        positions, shape, rotation, y);
  }

  void activation_forward(Activation kind, Const x, Matrix<T> y) {
    forward(
        "activation_forward", y.size() * activation_value_flops(kind),
        [](auto& b, auto... a) { b.activation_forward(a...); }, kind, x, y);
  }
  void activation_grad(Activation kind, Const grad_output, Const saved, Matrix<T> grad_input) {
    forward(
        "activation_grad", grad_input.size() * activation_slope_flops(kind),
        [](auto& b, auto... a) { b.activation_grad(a...); }, kind, grad_output, saved, grad_input);
  }
  void gated_forward(Activation kind, Const gate, Const up, Matrix<T> y) {
    forward(
        "gated_forward", y.size() * (activation_value_flops(kind) + 1),
        [](auto& b, auto... a) { b.gated_forward(a...); }, kind, gate, up, y);
  }
  void gated_grad_gate(Activation kind, Const grad_output, Const gate, Const up, Matrix<T> grad_gate) {
    forward(
        "gated_grad_gate", grad_gate.size() * (activation_slope_flops(kind) + 1),
        [](auto& b, auto... a) { b.gated_grad_gate(a...); }, kind, grad_output, gate, up, grad_gate);
  }
  void gated_grad_up(Activation kind, Const grad_output, Const gate, Matrix<T> grad_up) {
    forward(
        "gated_grad_up", grad_up.size() * (activation_value_flops(kind) + 1),
        [](auto& b, auto... a) { b.gated_grad_up(a...); }, kind, grad_output, gate, grad_up);
  }
  void clamped_gate_forward(const ClampedGate& clamped, Const x, Matrix<T> y) {
    forward(
        "clamped_gate_forward", 7 * y.size(), [](auto& b, auto... a) { b.clamped_gate_forward(a...); }, clamped, x, y);
  }
  void clamped_gate_grad(const ClampedGate& clamped, Const grad_output, Const x, Matrix<T> grad_x) {
    forward(
        "clamped_gate_grad", 13 * grad_output.size(), [](auto& b, auto... a) { b.clamped_gate_grad(a...); }, clamped,
        grad_output, x, grad_x);
  }
  void add(Const x, Const z, Matrix<T> y) {
    forward(
        "add", y.size(), [](auto& b, auto... a) { b.add(a...); }, x, z, y);
  }
  void accumulate(Const x, Matrix<T> y) {
    forward(
        "accumulate", y.size(), [](auto& b, auto... a) { b.accumulate(a...); }, x, y);
  }
  void copy_matrix(Const x, Matrix<T> y) {
    forward(
        "copy_matrix", 0, [](auto& b, auto... a) { b.copy_matrix(a...); }, x, y);
  }
  void dropout(Const x, const DropoutMask& mask, Matrix<T> y, Write write) {
    forward(
        "dropout", y.size() + added(x, write), [](auto& b, auto... a) { b.dropout(a...); }, x, mask, y, write);
  }

  void route_forward(const RoutingShape& routing, Const logits, Matrix<T> weights) {
    forward(
        "route_forward", logits.rows * (3 * (routing.normalised ? routing.top_k : logits.cols) + routing.top_k),
        [](auto& b, auto... a) { b.route_forward(a...); }, routing, logits, weights);
  }
  void route_grad(const RoutingShape& routing, Const grad_weights, Const logits, Const weights, Matrix<T> grad_logits) {
    forward(
        "route_grad", weights.rows * (routing.normalised ? 4 * routing.top_k : 5 * weights.cols + 3 * routing.top_k),
        [](auto& b, auto... a) { b.route_grad(a...); }, routing, grad_weights, logits, weights, grad_logits);
  }
  void scale_rows(Const x, Const scale, Matrix<T> y) {
    forward(
        "scale_rows", y.size(), [](auto& b, auto... a) { b.scale_rows(a...); }, x, scale, y);
  }
  void dot_rows(Const x, Const z, Matrix<T> y) {
    forward(
        "dot_rows", 2 * x.size(), [](auto& b, auto... a) { b.dot_rows(a...); }, x, z, y);
  }

  void attention_forward(const AttentionShape& shape, Const queries, Const keys, Const values, Const bias,
                         Matrix<T> output, Matrix<T> stats) {
    const Extent d = shape.head_dim;
    const Flops flops =
        shape.heads * (self().visible_pairs(shape) * (4 * d + 4 + score_flops(shape)) + queries.rows * (d + 3));
    forward(
        "attention_forward", flops, [](auto& b, auto... a) { b.attention_forward(a...); }, shape, queries, keys, values,
        bias, output, stats);
  }
  void attention_grad(const AttentionShape& shape, Const queries, Const keys, Const values, Const bias, Const output,
                      Const stats, Const grad_output, Matrix<T> grad_queries, Matrix<T> grad_keys,
                      Matrix<T> grad_values, Matrix<T> grad_bias) {
    const Extent d = shape.head_dim, pairs = self().visible_pairs(shape);
    const bool through_scores = grad_queries || grad_keys || grad_bias, any = through_scores || grad_values;
    const Extent products = (grad_queries ? 1 : 0) + (grad_keys ? 1 : 0) + (grad_values ? 1 : 0);
    const Extent a_pair = (any ? 2 * d + 3 + score_flops(shape) : 0) +
                          (through_scores ? 2 * d + 3 + cap_flops(shape) : 0) + products * 2 * d + (grad_bias ? 1 : 0);
    const Flops flops = shape.heads * (pairs * a_pair + (through_scores ? queries.rows * 2 * d : 0));
    forward(
        "attention_grad", flops, [](auto& b, auto... a) { b.attention_grad(a...); }, shape, queries, keys, values, bias,
        output, stats, grad_output, grad_queries, grad_keys, grad_values, grad_bias);
  }
  void attention_sink_forward(Const sinks, Matrix<T> output, Matrix<T> stats) {
    forward(
        "attention_sink_forward", output.size() + 8 * stats.size(),
        [](auto& b, auto... a) { b.attention_sink_forward(a...); }, sinks, output, stats);
  }
  void attention_sink_grad(Const sinks, Const output, Const stats, Const grad_output, Matrix<T> grad_sinks) {
    forward(
        "attention_sink_grad", 2 * output.size() + 4 * stats.size(),
        [](auto& b, auto... a) { b.attention_sink_grad(a...); }, sinks, output, stats, grad_output, grad_sinks);
  }

  void cross_entropy_forward(Const logits, const Index* labels, T* row_losses, double* loss_sum) {
    forward(
        "cross_entropy_forward", logits.rows * (3 * logits.cols + 3),
        [](auto& b, auto... a) { b.cross_entropy_forward(a...); }, logits, labels, row_losses, loss_sum);
  }
  void cross_entropy_grad(Matrix<T> logits, const Index* labels, double scale) {
    forward(
        "cross_entropy_grad", logits.rows * (6 * logits.cols + 3),
        [](auto& b, auto... a) { b.cross_entropy_grad(a...); }, logits, labels, scale);
  }

  template <UpdateRule<T> R, class... State>
  void update_step(Extent n, const R& rule, T* parameter, const T* gradient, State*... state) {
    forward(
        "update_step", R::flops * n, [](auto& b, auto... a) { greentrainer::update_step(b, a...); }, n, rule, parameter,
        gradient, state...);
  }
  template <UpdateRule<T> R, class... State>
  void update_candidate(Extent n, const R& rule, T* parameter, const T* gradient, const State*... state) {
    forward(
        "update_candidate", R::flops * n, [](auto& b, auto... a) { greentrainer::update_candidate(b, a...); }, n, rule,
        parameter, gradient, state...);
  }
  void update_dot(Extent n, const T* gradient, const T* updated, const T* before, double* result) {
    forward(
        "update_dot", 3 * n, [](auto& b, auto... a) { b.update_dot(a...); }, n, gradient, updated, before, result);
  }
  void sum_of_squares(Extent n, const T* x, double* result) {
    forward(
        "sum_of_squares", 2 * n, [](auto& b, auto... a) { b.sum_of_squares(a...); }, n, x, result);
  }
  void count_non_finite(Extent n, const T* x, double* result) {
    forward(
        "count_non_finite", 0, [](auto& b, auto... a) { b.count_non_finite(a...); }, n, x, result);
  }
  void scale(Extent n, T* x, double factor) {
    forward(
        "scale", n, [](auto& b, auto... a) { b.scale(a...); }, n, x, factor);
  }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }

  template <class Call, class... Arguments>
  void forward(std::string_view kernel, Flops flops, Call call, const Arguments&... arguments) {
    self().around(kernel, flops, call, arguments...);
  }
  static Flops cap_flops(const AttentionShape& shape) { return shape.score_cap > 0 ? 3 : 0; }
  /// Of what becomes of one scaled score.
  static Flops score_flops(const AttentionShape& shape) {
    return cap_flops(shape) + (shape.alibi ? 2 : 0) + (shape.relative.buckets > 0 ? 1 : 0);
  }
  static Flops added(Const x, Write write) { return write == Write::accumulate ? x.size() : 0; }
};

}  // namespace greentrainer
