#pragma once

#include <concepts>
#include <string>
#include <type_traits>

#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"
#include "greentrainer/core/stored_matrix.hpp"

namespace greentrainer {

/// Memory of a backend. Addresses it hands out are for its own kernels: the host never dereferences them. Work is
/// ordered as called; `synchronize` waits for it. `copy_to_host` returns when the bytes have arrived.
template <class B>
concept BackendMemory = requires(B b, void* to, const void* from, Bytes bytes) {
  { b.allocate(bytes) } -> std::same_as<void*>;  // throws BackendError: how much was asked for, how much there is
  { b.deallocate(to, bytes) }
  noexcept;
  b.copy_from_host(to, from, bytes);
  b.copy_to_host(to, from, bytes);
  b.copy(to, from, bytes);  // within the backend; ranges do not overlap
  b.zero(to, bytes);
  b.synchronize();
};

/// Whether matrices may hold T. A backend of a number type of its own (one that counts its operations, say) specialises
/// it.
template <class T>
inline constexpr bool is_element = std::floating_point<T>;

/// Matrix products and kernels. Names are operator_part; shapes in comments: R rows, C columns, n elements.
/// FLOPs are those of the textbook algorithm in backends/reference: + - * / and each elementary function count one,
/// comparisons none; an element-wise kernel that accumulates adds one an element. A matrix product counts 2mnk either
/// way. Results are a function of the arguments alone: not of the number of threads, nor of which optional outputs were
/// asked for. Outputs do not overlap inputs, except where "in place" is said to be allowed: then y may be x itself,
/// never a part of it.
template <class B, class T = typename B::Scalar>
concept BackendKernels = is_element<T> &&
    requires(B b, Matrix<const T> x, Matrix<const T> z, Matrix<T> y, const T* vector, T* out, const Index* index,
             Extent n, double number, double* result, Write write, Transpose transpose, const AttentionShape& attention,
             Activation activation, const RotaryShape& rotary, Rotation rotation, const DropoutMask& dropout,
             const RoutingShape& routing, const ClampedGate& clamped) {
  // y (m, n) = op(x) (m, k) op(z) (k, n), or y += that.                              2mnk
  b.matmul(x, transpose, z, transpose, y, write);
  // y (R, C) += vector (C) in every row.                                             RC
  b.add_bias(y, vector);
  // out (C) += column sums of x (R, C).                                              RC
  b.bias_grad(x, out);

  // y[r] = x[index[r]]: x is the table (V, C), index and y have R rows.               0
  b.embedding_forward(x, index, y);
  // y[index[r]] += x[r]: y is the table's gradient (V, C); rows are added in order.   RC
  b.embedding_grad_weight(x, index, y);
  // The same two for unique, ascending row numbers: y[r] = x[index[r]]; and y = 0, y[index[r]] = x[r], or with
  // accumulate y[index[r]] += x[r] (RC). 0
  b.gather_rows(x, index, y);
  b.scatter_rows(x, index, y, write);

  // y = (x - mean) * rstd * weight + bias, or without bias where it is null; stats (R, 2) receives mean and rstd.
  //                                                                       R (8C + 5), without bias R (7C + 5)
  b.layer_norm_forward(x, vector, vector, number, y, y);
  // (grad_output, x, weight, stats, grad_input, write).                              R (13C + 2), + RC
  b.layer_norm_grad_input(x, z, vector, z, y, write);
  // (grad_output, x, stats, grad_weight (C)): accumulates.                           4RC
  b.layer_norm_grad_weight(x, z, z, out);
  // (x, weight, offset, epsilon, y, stats): y = x * rstd * (offset + weight); stats (R, 1) receives rstd.
  //                                                                       R (4C + 4), with an offset other than 0 + RC
  b.rms_norm_forward(x, vector, number, number, y, y);
  // (grad_output, x, weight, offset, stats, grad_input, write).           R (7C + 4), + RC, with an offset + 2RC
  b.rms_norm_grad_input(x, z, vector, number, z, y, write);
  // (grad_output, x, stats, grad_weight (C)): accumulates.                           3RC
  b.rms_norm_grad_weight(x, z, z, out);

  // Rotary embedding of each head: pairs of columns turn by positions[r] * rotary_frequencies(rotary)[pair], times the
  // amplitude; other columns are copied. (x, positions (R), rotary, rotation, y); in place allowed.
  //                                                          3R times the columns that turn, in all heads
  b.rotary(x, index, rotary, rotation, y);

  // y = f(x); in place allowed.                     relu 0, gelu 5RC, gelu_tanh 9RC, silu 3RC, tanh RC, relu_squared
  // RC, sigmoid 3RC
  b.activation_forward(activation, x, y);
  // (kind, grad_output, saved, grad_input): saved is the *output* for relu, the input for the others; in place
  // (grad_input = grad_output) allowed.
  //                                                 relu 0, gelu 11RC, gelu_tanh 19RC, silu 8RC, tanh 4RC, relu_squared
  //                                                 2RC, sigmoid 6RC
  b.activation_grad(activation, x, z, y);
  // y = f(gate) * up; in place (y = gate or y = up) allowed.                         forward + RC
  b.gated_forward(activation, x, z, y);
  // (kind, grad_output, gate, up, grad_gate).  For relu, too, gate is the input.     grad + RC
  b.gated_grad_gate(activation, x, z, z, y);
  // (kind, grad_output, gate, grad_up).                                              forward + RC
  b.gated_grad_up(activation, x, z, y);

  // y (R, C) of pairs (x[2c], x[2c + 1]) in the rows of x (R, 2C): see ClampedGate.  7RC
  b.clamped_gate_forward(clamped, x, y);
  // (clamped, grad_output (R, C), x (R, 2C), grad_x (R, 2C)); in place (grad_x = x) allowed. A number at its limit has
  // the gradient of one below it, one beyond has none.                               13RC
  b.clamped_gate_grad(clamped, x, z, y);

  // y = x + z; in place (y = x or y = z) allowed.                                    RC
  b.add(x, z, y);
  // y += x.                                                                          RC
  b.accumulate(x, y);
  // y = x.                                                                           0
  b.copy_matrix(x, y);
  // y = mask.scale() * x where the mask does not drop, else 0; or y += that. Its gradient is the same of grad_output.
  // Random bits count nothing, the product for every element; in place (y = x, overwriting) allowed.                RC,
  // + RC
  b.dropout(x, dropout, y, write);

  // Logits x (R, E) to the weights y (R, E) of experts; those that a row is not routed to get 0.
  //                                     with n of E experts in the softmax: R (3n + top_k)
  b.route_forward(routing, x, y);
  // (routing, grad_weights, logits, weights, grad_logits): gradients of weights that are 0 are not read, and logits
  // only if not normalised.              normalised R 4 top_k, else R (5E + 3 top_k)
  b.route_grad(routing, x, z, z, y);
  // y[r] = x[r] * z[r], z (R, 1); in place (y = x) allowed.                          RC
  b.scale_rows(x, z, y);
  // y (R, 1) = sums of x * z over each row.                                          2RC
  b.dot_rows(x, z, y);

  // Softmax attention without a (tokens x tokens) matrix in memory.
  // (shape, queries, keys, values, bias, output, stats): bias (relative.buckets, heads), empty without; stats (query
  // rows, heads) receives the log-sum-exp of each row's scores.
  //                       with P pairs: heads * (P (4 head_dim + 4) + R (head_dim + 3)), with alibi + 2P heads, with
  //                       relative + P heads, with a cap + 3P heads
  // A query without keys gets output and statistic 0. P counts the pairs that see each other; what a backend computes
  // beside them is not counted; what lies outside of a window is to be skipped, not masked, since a window is there to
  // save it.
  b.attention_forward(attention, x, x, x, x, y, y);
  // (shape, queries, keys, values, bias, output, stats, grad_output, grad_queries, grad_keys, grad_values, grad_bias):
  // gradients whose data is null are not formed, nor what only they need. grad_bias (buckets, heads) accumulates; the
  // others are overwritten in the rows of sequences and the columns of heads, and untouched elsewhere. Without
  // grad_queries, grad_keys and grad_bias, values and output are not read and may be null.
  //     heads * (probabilities P (2 head_dim + 3), with alibi + 2P, with relative + P, with a cap + 3P;
  //              grad_values P 2 head_dim; with queries, keys or bias P (2 head_dim + 3) + R 2 head_dim, with a cap
  //              + 3P; for queries and keys P 2 head_dim each, for bias P)
  b.attention_grad(attention, x, x, x, x, x, x, x, y, y, y, y);

  // Sinks of attention: a logit a head that joins the softmax of each row, and has no value. (sinks (1, heads), output
  // (R, heads * head_dim), stats (R, heads)): turns what attention_forward left into what it is with sinks, in place;
  // attention_grad of the result gives the gradients with them.                      R heads (head_dim + 8)
  b.attention_sink_forward(x, y, y);
  // (sinks, output, stats, grad_output, grad_sinks), output and stats as the above left them: accumulates.
  //                                                                                  R heads (2 head_dim + 4)
  b.attention_sink_grad(x, x, x, x, y);

  // Rows of logits x = y (R, V) and labels (R): result[0] += sum of the rows' losses (double, in the backend's memory),
  // and row losses to `out` (R) unless null.                                                           R (3V + 3)
  b.cross_entropy_forward(x, index, out, result);
  // y (R, V): logits on entry, scale * (softmax - one-hot) on return.                R (6V + 3)
  b.cross_entropy_grad(y, index, number);

  // result[0] += sum of gradient * (updated - before), in double.                       3n
  b.update_dot(n, vector, vector, vector, result);
  // result[0] += sum of squares, in double.                                             2n
  b.sum_of_squares(n, vector, result);
  // result[0] += number of elements that are infinite or NaN, in double.                0
  b.count_non_finite(n, vector, result);
  // out *= number.                                                                      n
  b.scale(n, out, number);
};

/// What a backend may offer beside: products and lookups that read a weight in the storage format that it lies in. The
/// results are those for the decoded matrix, in bits; FLOPs are, too. Models whose frozen weights are kept in a format
/// need it.
template <class B, class T = typename B::Scalar>
concept ReadsStoredWeights = requires(B b, Matrix<const T> x, Matrix<T> y, const StoredMatrix& stored,
                                      const Index* index, Transpose transpose, Write write) {
  b.matmul(x, transpose, stored, transpose, y, write);  // 2mnk
  b.embedding_forward(stored, index, y);                // 0
  b.decode(stored, y);                                  // y = the numbers.  0
};

/// What a backend offers: an element type, memory, products and kernels. A backend object is explicit, movable or not,
/// and owns its threads or streams. backends/README.md walks through writing one.
template <class B>
concept Backend = BackendMemory<B> && BackendKernels<B> && requires(const B b) {
  typename B::Scalar;
  { b.name() } -> std::convertible_to<std::string>;
};

/// To be asserted beside a backend: the compiler then names there what is missing or has other arguments, with the page
/// to read, rather than where the backend is first used.
template <class B>
consteval bool check_backend() {
  static_assert(
      requires { typename B::Scalar; }, "a backend names its element type Scalar: backends/README.md, 2");
  static_assert(BackendMemory<B>, "a backend has memory: backends/README.md, 3");
  static_assert(BackendKernels<B>, "a backend has every kernel, with these arguments: backends/README.md, 4 and 5");
  static_assert(Backend<B>, "a backend has a name: backends/README.md, 2");
  return true;
}

}  // namespace greentrainer
