#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// All experts of a layer, whose tensors hold those of every expert one after the other (gpt-oss): y (R, width) is, for
/// each row of x (R, width), the sum over the experts e with a weight in its row of the routing (R, experts) of weight
/// * (down_e(gate(gate_up_e(x))) + bias). Parameters: gate_up (experts * 2 hidden_width, width), in whose rows gate and
/// up alternate, its bias (experts, 2 hidden_width), down (experts * width, hidden_width), its bias (experts, width).
///
/// A row has top_k experts, whichever they are, so prices are exact. Rows are taken in chunks, and what lies within an
/// expert is computed again in the backward pass: see Expert.
struct FusedExperts {
  static constexpr std::string_view kind = "fused_experts";
  static constexpr bool row_by_row = true;
  static constexpr BitSet any_format = bit(0) | bit(2);
  enum Part {
    hidden,       ///< gate and up, and what the gate makes of them, again
    grad_hidden,  ///< of the latter, for a weight of 1
    grad_pairs,   ///< of gate and up, with the row's weight
    grad_input,
    grad_routing,
    grad_gate_up,
    grad_gate_up_bias,
    grad_down,
    grad_down_bias
  };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;
  Extent hidden_width = 0;
  ClampedGate gate = {};
  Extent experts = 1;
  Extent top_k = 1;

  std::vector<ValueShape> input_shapes() const { return {{rows, width}, {rows, experts}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}}; }
  std::vector<ParameterShape> parameter_shapes() const {
    return {{experts * 2 * hidden_width, width},
            {experts, 2 * hidden_width},
            {experts * width, hidden_width},
            {experts, width}};
  }
  std::vector<GradPart> parts() const {
    using enum GradPart::Kind;
    return {{.name = "hidden", .kind = shared, .keeps_inputs = bit(0) | bit(1)},
            {.name = "grad_hidden", .kind = shared, .keeps_inputs = bit(1)},
            {.name = "grad_pairs", .kind = shared, .after = bit(hidden) | bit(grad_hidden)},
            {.name = "grad_input", .kind = input, .index = 0, .after = bit(grad_pairs), .adds = true},
            {.name = "grad_routing", .kind = input, .index = 1, .after = bit(hidden) | bit(grad_hidden), .adds = true},
            {.name = "grad_gate_up", .kind = parameter, .index = 0, .after = bit(grad_pairs)},
            {.name = "grad_gate_up_bias", .kind = parameter, .index = 1, .after = bit(grad_pairs)},
            {.name = "grad_down", .kind = parameter, .index = 2, .after = bit(hidden)},
            {.name = "grad_down_bias", .kind = parameter, .index = 3, .keeps_inputs = bit(1)}};
  }

  LinearCost forward_cost() const { return per(rows, top_k * forward_flops()); }
  LinearCost part_cost(int part, Write) const { return per(rows, top_k * part_flops(part)); }

  /// Rows of a chunk: enough to keep products from becoming thin.
  static constexpr Extent chunk_rows = 1024;
  Extent workspace(const Workload& workload) const {
    return std::min(chunk_rows, workload[measure_of(rows)]) * (3 + 2 * width + 4 * hidden_width);
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    using T = typename ForwardCall<B>::T;
    const auto y = call.output(0);
    call.backend.zero(y.data, bytes_of(y));
    const Routed routed = routed_rows(call.backend, call.input(1));
    call.loss.flops_beyond_plan += forward_flops() * routed.beyond_plan;
    for_chunks(call, routed, [&](Extent expert, const Index* index, const Chunk<T>& chunk) {
      compute_hidden(call, expert, index, chunk);
      matmul(call.backend, chunk.hidden, Transpose::no, down_of(call.weight(2), expert), Transpose::yes, chunk.wide,
             Write::overwrite);
      call.backend.add_bias(chunk.wide, row_of(call.parameter(3), expert).data);
      call.backend.scale_rows(chunk.wide, chunk.weights, chunk.wide);
      call.backend.scatter_rows(chunk.wide, index, y, Write::accumulate);
    });
  }

  template <class B>
  void backward(BackwardCall<B>& call) const {
    using T = typename BackwardCall<B>::T;
    const Routed routed = routed_rows(call.backend, call.input(1));
    for (int part = 0; part <= grad_down_bias; ++part) {
      if (call.wants(part)) call.loss.flops_beyond_plan += part_flops(part) * routed.beyond_plan;
    }
    for (const auto& [part, i] : {std::pair(grad_input, 0), std::pair(grad_routing, 1)}) {
      if (call.wants(part) && call.write(i) == Write::overwrite)
        call.backend.zero(call.grad_input(i).data, bytes_of(call.grad_input(i)));
    }
    for_chunks(call, routed, [&](Extent expert, const Index* index, const Chunk<T>& chunk) {
      differentiate(call, expert, index, chunk);
    });
  }

 private:
  template <class T>
  static Bytes bytes_of(Matrix<T> m) {
    return m.size() * static_cast<Bytes>(sizeof(T));
  }

  /// FLOPs of a row and an expert that it goes to.
  Flops hidden_flops() const { return 4 * width * hidden_width + 9 * hidden_width; }  // 2 for the bias, 7 for the gate
  Flops forward_flops() const {
    return hidden_flops() + 2 * width * hidden_width + 3 * width;  // with the bias, scaled, and added
  }
  Flops part_flops(int part) const {
    switch (part) {
      case hidden: return hidden_flops();
      case grad_pairs: return 14 * hidden_width;
      case grad_input: return 4 * width * hidden_width + width;
      case grad_routing: return 2 * hidden_width + 2 * width + 1;
      case grad_gate_up: return 4 * width * hidden_width;
      case grad_gate_up_bias: return 2 * hidden_width;
      case grad_down: return 2 * width * hidden_width + hidden_width;
      case grad_down_bias: return 2 * width;
      default: return 2 * width * hidden_width;  // grad_hidden
    }
  }

  /// Of each expert, the rows that have a weight, ascending.
  struct Routed {
    std::vector<std::vector<Index>> rows;
    Extent beyond_plan = 0;  ///< how many there are more than top_k a row: fewer, where a weight is as small as zero
  };
  /// Waits for the backend: sizes of products are the host's to say.
  template <class B, class T>
  Routed routed_rows(B& backend, Matrix<const T> routing) const {
    std::vector<T> weights(static_cast<std::size_t>(routing.size()));
    if (!weights.empty()) backend.copy_to_host(weights.data(), routing.data, bytes_of(routing));
    Routed routed{.rows = std::vector<std::vector<Index>>(static_cast<std::size_t>(experts)),
                  .beyond_plan = -top_k * routing.rows};
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] == T(0)) continue;
      routed.rows[i % routed.rows.size()].push_back(static_cast<Index>(i / routed.rows.size()));
      ++routed.beyond_plan;
    }
    return routed;
  }

  /// Some rows of an expert on the backend, in the workspace.
  template <class T>
  struct Chunk {
    Matrix<T> weights;  ///< (rows, 1)
    Matrix<T> numbers;  ///< (rows, 1): gradients of them
    Matrix<T> x;        ///< (rows, width)
    Matrix<T> wide;     ///< (rows, width): outputs, then gradients
    Matrix<T> pairs;    ///< (rows, 2 hidden_width): gate and up, then their gradients
    Matrix<T> hidden;   ///< (rows, hidden_width)
    Matrix<T> grad_hidden;
  };

  /// Calls visit(expert, row numbers in the backend's memory, chunk) for chunks of each expert's rows.
  template <class Call, class Visit>
  void for_chunks(Call& call, const Routed& routed, Visit visit) const {
    using T = typename Call::T;
    static_assert(sizeof(T) >= sizeof(Index), "row numbers lie in the workspace");
    for (Extent expert = 0; expert < experts; ++expert) {
      std::span<const Index> left(routed.rows[static_cast<std::size_t>(expert)]);
      while (!left.empty()) {
        const auto some = left.first(std::min(left.size(), static_cast<std::size_t>(chunk_rows)));
        left = left.subspan(some.size());
        const auto n = static_cast<Extent>(some.size());
        T* next = call.workspace;
        const auto take = [&](Extent cols) {
          const Matrix<T> matrix(next, n, cols);
          next += n * cols;
          return matrix;
        };
        auto* const index = reinterpret_cast<Index*>(take(1).data);
        call.backend.copy_from_host(index, some.data(), static_cast<Bytes>(some.size_bytes()));
        const Chunk<T> chunk{.weights = take(1),
                             .numbers = take(1),
                             .x = take(width),
                             .wide = take(width),
                             .pairs = take(2 * hidden_width),
                             .hidden = take(hidden_width),
                             .grad_hidden = take(hidden_width)};
        visit(expert, index, chunk);
      }
    }
  }

  // Of one expert, in tensors of all.
  template <class M>
  M gate_up_of(const M& all, Extent expert) const {
    return all.rows_from(expert * 2 * hidden_width, 2 * hidden_width);
  }
  template <class M>
  M down_of(const M& all, Extent expert) const {
    return all.rows_from(expert * width, width);
  }
  template <class T>
  static Matrix<T> row_of(Matrix<T> all, Extent expert) {
    return all.rows_from(expert, 1);
  }
  template <class T>
  static Matrix<T> column_of(Matrix<T> routing, Extent expert) {
    return {routing.data + expert, routing.rows, 1, routing.stride};
  }

  template <class Call, class T>
  void compute_hidden(Call& call, Extent expert, const Index* index, const Chunk<T>& chunk) const {
    call.backend.gather_rows(call.input(0), index, chunk.x);
    call.backend.gather_rows(column_of(call.input(1), expert), index, chunk.weights);
    matmul(call.backend, chunk.x, Transpose::no, gate_up_of(call.weight(0), expert), Transpose::yes, chunk.pairs,
           Write::overwrite);
    call.backend.add_bias(chunk.pairs, row_of(call.parameter(1), expert).data);
    call.backend.clamped_gate_forward(gate, chunk.pairs, chunk.hidden);
  }

  template <class B, class T>
  void differentiate(BackwardCall<B>& call, Extent expert, const Index* index, const Chunk<T>& chunk) const {
    auto& backend = call.backend;
    if (call.wants(hidden))
      compute_hidden(call, expert, index, chunk);
    else if (call.wants(grad_down_bias))
      backend.gather_rows(column_of(call.input(1), expert), index, chunk.weights);
    backend.gather_rows(call.grad_output(), index, chunk.wide);
    if (call.wants(grad_hidden))
      matmul(backend, chunk.wide, Transpose::no, down_of(call.weight(2), expert), Transpose::no, chunk.grad_hidden,
             Write::overwrite);
    if (call.wants(grad_routing)) {
      backend.dot_rows(chunk.grad_hidden, chunk.hidden, chunk.numbers);
      backend.matmul(chunk.wide, Transpose::no, row_of(call.parameter(3), expert), Transpose::yes, chunk.numbers,
                     Write::accumulate);
      backend.scatter_rows(chunk.numbers, index, column_of(call.grad_input(1), expert), Write::accumulate);
    }
    if (call.wants(grad_down)) {
      backend.scale_rows(chunk.hidden, chunk.weights, chunk.hidden);
      backend.matmul(chunk.wide, Transpose::yes, chunk.hidden, Transpose::no, down_of(call.grad_parameter(2), expert),
                     Write::accumulate);
    }
    if (call.wants(grad_down_bias))
      backend.matmul(chunk.weights, Transpose::yes, chunk.wide, Transpose::no, row_of(call.grad_parameter(3), expert),
                     Write::accumulate);
    if (!call.wants(grad_pairs)) return;
    backend.scale_rows(chunk.grad_hidden, chunk.weights, chunk.grad_hidden);
    backend.clamped_gate_grad(gate, chunk.grad_hidden, chunk.pairs, chunk.pairs);
    if (call.wants(grad_gate_up))
      backend.matmul(chunk.pairs, Transpose::yes, chunk.x, Transpose::no, gate_up_of(call.grad_parameter(0), expert),
                     Write::accumulate);
    if (call.wants(grad_gate_up_bias)) backend.bias_grad(chunk.pairs, row_of(call.grad_parameter(1), expert).data);
    if (!call.wants(grad_input)) return;
    matmul(backend, chunk.pairs, Transpose::no, gate_up_of(call.weight(0), expert), Transpose::no, chunk.wide,
           Write::overwrite);
    backend.scatter_rows(chunk.wide, index, call.grad_input(0), Write::accumulate);
  }
};

}  // namespace greentrainer
