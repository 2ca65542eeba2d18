#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstring>
#include <new>
#include <numbers>
#include <string>
#include <vector>

#include "greentrainer/backends/reference/attention.hpp"
#include "greentrainer/backends/reference/clamped_gate.hpp"
#include "greentrainer/concepts/update_rule.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/core/rotary_frequencies.hpp"

namespace greentrainer {

/// The textbook algorithm of every kernel, one element after the other: what the FLOPs in the contract count, and what
/// other backends are compared with. T is double, or CountingScalar, which counts them.
template <class T = double>
class ReferenceBackend {
 public:
  using Scalar = T;
  using Const = Matrix<const T>;

  std::string name() const { return "reference"; }

  void* allocate(Bytes bytes) {
    void* memory = ::operator new(static_cast<std::size_t>(bytes), std::nothrow);
    if (memory == nullptr)
      throw BackendError("ReferenceBackend::allocate", "memory",
                         text("expected ", bytes, " bytes, got fewer from the system"));
    return memory;
  }
  void deallocate(void* memory, Bytes) noexcept { ::operator delete(memory); }
  void copy_from_host(void* to, const void* from, Bytes bytes) { copy(to, from, bytes); }
  void copy_to_host(void* to, const void* from, Bytes bytes) { copy(to, from, bytes); }
  void copy(void* to, const void* from, Bytes bytes) {
    if (bytes > 0) std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
  void zero(void* to, Bytes bytes) {
    if (bytes > 0) std::memset(to, 0, static_cast<std::size_t>(bytes));
  }
  void synchronize() {}

  void matmul(Const x, Transpose tx, Const z, Transpose tz, Matrix<T> y, Write write) {
    const Extent depth = tx == Transpose::yes ? x.rows : x.cols;
    each(y, [&](Extent i, Extent j, T& out) {
      if (write == Write::overwrite) out = T(0);
      for (Extent p = 0; p < depth; ++p)
        out += (tx == Transpose::yes ? at(x, p, i) : at(x, i, p)) * (tz == Transpose::yes ? at(z, j, p) : at(z, p, j));
    });
  }
  void add_bias(Matrix<T> y, const T* bias) {
    each(y, [&](Extent, Extent c, T& out) { out += bias[c]; });
  }
  void bias_grad(Const x, T* out) {
    each(x, [&](Extent, Extent c, const T& value) { out[c] += value; });
  }

  // Weights in storage formats are decoded first.
  void matmul(Const x, Transpose tx, const StoredMatrix& z, Transpose tz, Matrix<T> y,
              Write write) requires std::floating_point<T> {
    const std::vector<T> values = decoded(z);
    matmul(x, tx, Const(values.data(), z.rows, z.cols), tz, y, write);
  }
  void embedding_forward(const StoredMatrix& table, const Index* index, Matrix<T> y) requires std::floating_point<T> {
    const std::vector<T> values = decoded(table);
    embedding_forward(Const(values.data(), table.rows, table.cols), index, y);
  }
  void decode(const StoredMatrix& x, Matrix<T> y) requires std::floating_point<T> {
    const std::vector<T> values = decoded(x);
    each(y, [&](Extent r, Extent c, T& out) { out = values[static_cast<std::size_t>(r * x.cols + c)]; });
  }

  void embedding_forward(Const table, const Index* index, Matrix<T> y) { gather_rows(table, index, y); }
  void embedding_grad_weight(Const x, const Index* index, Matrix<T> y) {
    each(x, [&](Extent r, Extent c, const T& value) { at(y, index[r], c) += value; });
  }
  void gather_rows(Const x, const Index* index, Matrix<T> y) {
    each(y, [&](Extent r, Extent c, T& out) { out = at(x, index[r], c); });
  }
  void scatter_rows(Const x, const Index* index, Matrix<T> y, Write write) {
    if (write == Write::accumulate) return embedding_grad_weight(x, index, y);
    each(y, [](Extent, Extent, T& out) { out = T(0); });
    each(x, [&](Extent r, Extent c, const T& value) { at(y, index[r], c) = value; });
  }

  void route_forward(const RoutingShape& routing, Const logits, Matrix<T> weights) {
    using reference::number_like, std::exp;
    for (Extent r = 0; r < logits.rows; ++r) {
      const std::vector<bool> chosen = routed(routing, logits, r);
      const T max = largest(logits, r);
      T sum = number_like(max, 0);
      for (Extent e = 0; e < logits.cols; ++e) {
        const bool is_chosen = chosen[static_cast<std::size_t>(e)];
        at(weights, r, e) = T(0);
        if (!is_chosen && routing.normalised) continue;
        const T numerator = exp(at(logits, r, e) - max);
        sum += numerator;
        if (is_chosen) at(weights, r, e) = numerator;
      }
      for (Extent e = 0; e < logits.cols; ++e) {
        if (chosen[static_cast<std::size_t>(e)]) at(weights, r, e) = at(weights, r, e) / sum;
      }
    }
  }
  void route_grad(const RoutingShape& routing, Const grad_weights, Const logits, Const weights, Matrix<T> grad_logits) {
    using reference::number_like, std::exp;
    for (Extent r = 0; r < weights.rows; ++r) {
      const auto has_weight = [&](Extent e) { return at(weights, r, e) != T(0); };
      T along = number_like(at(weights, r, 0), 0);
      for (Extent e = 0; e < weights.cols; ++e) {
        if (has_weight(e)) along += at(grad_weights, r, e) * at(weights, r, e);
      }
      if (routing.normalised) {
        for (Extent e = 0; e < weights.cols; ++e)
          at(grad_logits, r, e) = has_weight(e) ? at(weights, r, e) * (at(grad_weights, r, e) - along) : T(0);
        continue;
      }
      const T max = largest(logits, r);
      T sum = number_like(max, 0);
      for (Extent e = 0; e < logits.cols; ++e) sum += at(grad_logits, r, e) = exp(at(logits, r, e) - max);
      for (Extent e = 0; e < logits.cols; ++e) {
        const T probability = at(grad_logits, r, e) / sum;
        at(grad_logits, r, e) = probability * (has_weight(e) ? at(grad_weights, r, e) - along : -along);
      }
    }
  }
  void scale_rows(Const x, Const scale, Matrix<T> y) {
    each(y, [&](Extent r, Extent c, T& out) { out = at(x, r, c) * at(scale, r, 0); });
  }
  void dot_rows(Const x, Const z, Matrix<T> y) {
    using reference::number_like;
    for (Extent r = 0; r < x.rows; ++r) {
      T sum = number_like(at(x, r, 0), 0);
      for (Extent c = 0; c < x.cols; ++c) sum += at(x, r, c) * at(z, r, c);
      at(y, r, 0) = sum;
    }
  }

  void layer_norm_forward(Const x, const T* weight, const T* bias, double epsilon, Matrix<T> y, Matrix<T> stats) {
    using std::sqrt;
    const T n(static_cast<double>(x.cols));
    for (Extent r = 0; r < x.rows; ++r) {
      T mean(0), variance(0);
      for (Extent c = 0; c < x.cols; ++c) mean += at(x, r, c);
      mean = mean / n;
      for (Extent c = 0; c < x.cols; ++c) {
        const T deviation = at(x, r, c) - mean;
        variance += deviation * deviation;
      }
      const T rstd = T(1) / sqrt(variance / n + T(epsilon));
      for (Extent c = 0; c < x.cols; ++c) {
        at(y, r, c) = (at(x, r, c) - mean) * rstd * weight[c];
        if (bias != nullptr) at(y, r, c) += bias[c];
      }
      at(stats, r, 0) = mean;
      at(stats, r, 1) = rstd;
    }
  }
  void layer_norm_grad_input(Const grad_output, Const x, const T* weight, Const stats, Matrix<T> grad_input,
                             Write write) {
    const T n(static_cast<double>(x.cols));
    for (Extent r = 0; r < x.rows; ++r) {
      const T mean = at(stats, r, 0), rstd = at(stats, r, 1);
      T sum(0), sum_x(0);
      for (Extent c = 0; c < x.cols; ++c) {
        const T g = at(grad_output, r, c) * weight[c];
        sum += g;
        sum_x += g * ((at(x, r, c) - mean) * rstd);
      }
      const T mean_g = sum / n, mean_gx = sum_x / n;
      for (Extent c = 0; c < x.cols; ++c) {
        put(at(grad_input, r, c),
            rstd * (at(grad_output, r, c) * weight[c] - mean_g - (at(x, r, c) - mean) * rstd * mean_gx), write);
      }
    }
  }
  void layer_norm_grad_weight(Const grad_output, Const x, Const stats, T* grad_weight) {
    each(x, [&](Extent r, Extent c, const T& value) {
      grad_weight[c] += at(grad_output, r, c) * ((value - at(stats, r, 0)) * at(stats, r, 1));
    });
  }
  void rms_norm_forward(Const x, const T* weight, double offset, double epsilon, Matrix<T> y, Matrix<T> stats) {
    using std::sqrt;
    for (Extent r = 0; r < x.rows; ++r) {
      T squares(0);
      for (Extent c = 0; c < x.cols; ++c) squares += at(x, r, c) * at(x, r, c);
      const T rstd = T(1) / sqrt(squares / T(static_cast<double>(x.cols)) + T(epsilon));
      for (Extent c = 0; c < x.cols; ++c) at(y, r, c) = at(x, r, c) * rstd * with_offset(weight[c], offset);
      at(stats, r, 0) = rstd;
    }
  }
  void rms_norm_grad_input(Const grad_output, Const x, const T* weight, double offset, Const stats,
                           Matrix<T> grad_input, Write write) {
    for (Extent r = 0; r < x.rows; ++r) {
      const T rstd = at(stats, r, 0);
      T sum(0);
      for (Extent c = 0; c < x.cols; ++c) sum += at(grad_output, r, c) * with_offset(weight[c], offset) * at(x, r, c);
      const T along = sum / T(static_cast<double>(x.cols)) * rstd * rstd * rstd;
      for (Extent c = 0; c < x.cols; ++c) {
        const T direct = rstd * (at(grad_output, r, c) * with_offset(weight[c], offset));
        put(at(grad_input, r, c), direct - at(x, r, c) * along, write);
      }
    }
  }
  void rms_norm_grad_weight(Const grad_output, Const x, Const stats, T* grad_weight) {
    each(x, [&](Extent r, Extent c, const T& value) {
      grad_weight[c] += at(grad_output, r, c) * value * at(stats, r, 0);
    });
  }

  void rotary(Const x, const Index* positions, const RotaryShape& shape, Rotation rotation, Matrix<T> y) {
    const std::vector<double> frequencies = rotary_frequencies(shape);
    for (Extent r = 0; r < x.rows; ++r) {
      for (Extent head = 0; head < x.cols; head += shape.head_dim) {
        for (Extent pair = 0; pair < shape.pairs(); ++pair) {
          const double angle = positions[r] * frequencies[static_cast<std::size_t>(pair)];
          const double turned = rotation == Rotation::forward ? std::sin(angle) : -std::sin(angle);
          const T cosine(shape.amplitude * std::cos(angle)), sine(shape.amplitude * turned);
          const Extent first = head + shape.first_column(pair), second = head + shape.second_column(pair);
          const T a = at(x, r, first), b = at(x, r, second);
          at(y, r, first) = a * cosine - b * sine;
          at(y, r, second) = b * cosine + a * sine;
        }
        for (Extent c = head + shape.columns(); c < head + shape.head_dim; ++c) at(y, r, c) = at(x, r, c);
      }
    }
  }

  void activation_forward(Activation kind, Const x, Matrix<T> y) {
    each(y, [&](Extent r, Extent c, T& out) { out = value(kind, at(x, r, c)); });
  }
  void activation_grad(Activation kind, Const grad_output, Const saved, Matrix<T> grad_input) {
    each(grad_input, [&](Extent r, Extent c, T& out) { out = slope(kind, at(grad_output, r, c), at(saved, r, c)); });
  }
  void gated_forward(Activation kind, Const gate, Const up, Matrix<T> y) {
    each(y, [&](Extent r, Extent c, T& out) { out = value(kind, at(gate, r, c)) * at(up, r, c); });
  }
  void gated_grad_gate(Activation kind, Const grad_output, Const gate, Const up, Matrix<T> grad_gate) {
    each(grad_gate,
         [&](Extent r, Extent c, T& out) { out = slope(kind, at(grad_output, r, c) * at(up, r, c), at(gate, r, c)); });
  }
  void gated_grad_up(Activation kind, Const grad_output, Const gate, Matrix<T> grad_up) {
    each(grad_up, [&](Extent r, Extent c, T& out) { out = at(grad_output, r, c) * value(kind, at(gate, r, c)); });
  }
  void clamped_gate_forward(const ClampedGate& clamped, Const x, Matrix<T> y) {
    reference::clamped_gate_forward<T>(clamped, x, y);
  }
  void clamped_gate_grad(const ClampedGate& clamped, Const grad_output, Const x, Matrix<T> grad_x) {
    reference::clamped_gate_grad<T>(clamped, grad_output, x, grad_x);
  }
  void add(Const x, Const z, Matrix<T> y) {
    each(y, [&](Extent r, Extent c, T& out) { out = at(x, r, c) + at(z, r, c); });
  }
  void accumulate(Const x, Matrix<T> y) {
    each(y, [&](Extent r, Extent c, T& out) { out += at(x, r, c); });
  }
  void copy_matrix(Const x, Matrix<T> y) {
    each(y, [&](Extent r, Extent c, T& out) { out = at(x, r, c); });
  }
  void dropout(Const x, const DropoutMask& mask, Matrix<T> y, Write write) {
    each(y, [&](Extent r, Extent c, T& out) {
      const T kept = at(x, r, c) * T(mask.scale());
      put(out, mask.drops(r * y.cols + c) ? T(0) : kept, write);
    });
  }

  void attention_forward(const AttentionShape& shape, Const queries, Const keys, Const values, Const bias,
                         Matrix<T> output, Matrix<T> stats) {
    reference::attention_forward<T>(shape, queries, keys, values, bias, output, stats);
  }
  void attention_grad(const AttentionShape& shape, Const queries, Const keys, Const values, Const bias, Const output,
                      Const stats, Const grad_output, Matrix<T> grad_queries, Matrix<T> grad_keys,
                      Matrix<T> grad_values, Matrix<T> grad_bias) {
    reference::attention_grad<T>(shape, queries, keys, values, bias, output, stats, grad_output, grad_queries,
                                 grad_keys, grad_values, grad_bias);
  }

  void attention_sink_forward(Const sinks, Matrix<T> output, Matrix<T> stats) {
    reference::attention_sink_forward<T>(sinks, output, stats);
  }
  void attention_sink_grad(Const sinks, Const output, Const stats, Const grad_output, Matrix<T> grad_sinks) {
    reference::attention_sink_grad<T>(sinks, output, stats, grad_output, grad_sinks);
  }

  void cross_entropy_forward(Const logits, const Index* labels, T* row_losses, double* loss_sum) {
    for (Extent r = 0; r < logits.rows; ++r) {
      const T loss = log_sum_exp(logits, r) - at(logits, r, labels[r]);
      if (row_losses != nullptr) row_losses[r] = loss;
      *loss_sum += static_cast<double>(loss);
    }
  }
  void cross_entropy_grad(Matrix<T> logits, const Index* labels, double scale) {
    using std::exp;
    for (Extent r = 0; r < logits.rows; ++r) {
      const T normaliser = log_sum_exp(logits, r);
      for (Extent c = 0; c < logits.cols; ++c) at(logits, r, c) = T(scale) * exp(at(logits, r, c) - normaliser);
      at(logits, r, labels[r]) -= T(scale);
    }
  }

  template <UpdateRule<T> R, class... State>
  void update_step(Extent n, const R& rule, T* parameter, const T* gradient, State*... state) {
    for (Extent i = 0; i < n; ++i) rule(parameter[i], gradient[i], state[i]...);
  }
  template <UpdateRule<T> R, class... State>
  void update_candidate(Extent n, const R& rule, T* parameter, const T* gradient, const State*... state) {
    using reference::number_like;
    for (Extent i = 0; i < n; ++i) {
      const auto update = [&](auto... kept) { rule(parameter[i], gradient[i], kept...); };
      update(state == nullptr ? T(number_like(gradient[i], 0)) : state[i]...);
    }
  }
  void update_dot(Extent n, const T* gradient, const T* updated, const T* before, double* result) {
    T sum(0);
    for (Extent i = 0; i < n; ++i) sum += gradient[i] * (updated[i] - before[i]);
    *result += static_cast<double>(sum);
  }
  void sum_of_squares(Extent n, const T* x, double* result) {
    T sum(0);
    for (Extent i = 0; i < n; ++i) sum += x[i] * x[i];
    *result += static_cast<double>(sum);
  }
  void count_non_finite(Extent n, const T* x, double* result) {
    for (Extent i = 0; i < n; ++i) *result += std::isfinite(static_cast<double>(x[i])) ? 0 : 1;
  }
  void scale(Extent n, T* x, double factor) {
    for (Extent i = 0; i < n; ++i) x[i] *= T(factor);
  }

 private:
  static std::vector<T> decoded(const StoredMatrix& x) {
    std::vector<T> values(static_cast<std::size_t>(x.size()));
    for (Extent r = 0; r < x.rows; ++r) decode_row_part(x, r, 0, x.cols, values.data() + r * x.cols);
    return values;
  }

  template <class U>
  static U& at(Matrix<U> m, Extent r, Extent c) {
    return m.data[r * m.stride + c];
  }
  template <class U, class Visit>
  static void each(Matrix<U> m, Visit visit) {
    for (Extent r = 0; r < m.rows; ++r) {
      for (Extent c = 0; c < m.cols; ++c) visit(r, c, at(m, r, c));
    }
  }
  static T with_offset(const T& weight, double offset) { return offset == 0 ? weight : weight + T(offset); }
  static void put(T& to, T value, Write write) {
    if (write == Write::accumulate)
      to += value;
    else
      to = value;
  }

  static T largest(Const x, Extent r) {
    const T* row = x.data + r * x.stride;
    return *std::max_element(row, row + x.cols);
  }
  /// Which experts a row is routed to.
  static std::vector<bool> routed(const RoutingShape& routing, Const logits, Extent r) {
    const T* row = logits.data + r * logits.stride;
    std::vector<bool> chosen(static_cast<std::size_t>(logits.cols), false);
    for (Extent k = 0; k < routing.top_k; ++k) {
      Extent best = -1;
      for (Extent e = 0; e < logits.cols; ++e) {
        if (!chosen[static_cast<std::size_t>(e)] && (best < 0 || row[e] > row[best])) best = e;
      }
      chosen[static_cast<std::size_t>(best)] = true;
    }
    return chosen;
  }

  static T value(Activation kind, T x) {
    using reference::number_like, std::erf, std::exp, std::tanh;
    switch (kind) {
      case Activation::relu: return x < T(0) ? T(0) : x;
      case Activation::gelu: return T(0.5) * x * (T(1) + erf(x * T(1 / std::numbers::sqrt2)));
      case Activation::gelu_tanh: return T(0.5) * x * (T(1) + tanh(T(slope_at_0) * (x + T(cubic) * x * x * x)));
      case Activation::silu: return x / (T(1) + exp(-x));
      case Activation::tanh: return tanh(x);
      case Activation::relu_squared: {
        const T kept = x < T(0) ? number_like(x, 0) : x;
        return kept * kept;
      }
      case Activation::sigmoid: return T(1) / (T(1) + exp(-x));
    }
    return x;
  }
  static T slope(Activation kind, T dy, T x) {
    using reference::number_like, std::erf, std::exp, std::tanh;
    switch (kind) {
      case Activation::relu: return x > T(0) ? dy : T(0);
      case Activation::gelu:
        return dy *
               (T(0.5) * (T(1) + erf(x * T(1 / std::numbers::sqrt2))) + x * exp(T(-0.5) * x * x) * T(0.5 * slope_at_0));
      case Activation::gelu_tanh: {
        const T t = tanh(T(slope_at_0) * (x + T(cubic) * x * x * x));
        return dy *
               (T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * (T(slope_at_0) * (T(1) + T(3 * cubic) * x * x)));
      }
      case Activation::silu: {
        const T gate = T(1) / (T(1) + exp(-x));
        return dy * gate * (T(1) + x * (T(1) - gate));
      }
      case Activation::tanh: {
        const T t = tanh(x);
        return dy * (T(1) - t * t);
      }
      case Activation::relu_squared: return dy * (T(2) * (x > T(0) ? x : number_like(x, 0)));
      case Activation::sigmoid: {
        const T y = T(1) / (T(1) + exp(-x));
        return dy * y * (T(1) - y);
      }
    }
    return dy;
  }
  static constexpr double slope_at_0 = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;  // sqrt(2 / pi)
  static constexpr double cubic = 0.044715;

  static T log_sum_exp(Const x, Extent r) {
    using std::exp, std::log;
    const T* row = x.data + r * x.stride;
    const T max = *std::max_element(row, row + x.cols);
    T sum(0);
    for (Extent c = 0; c < x.cols; ++c) sum += exp(row[c] - max);
    return max + log(sum);
  }
};

}  // namespace greentrainer
