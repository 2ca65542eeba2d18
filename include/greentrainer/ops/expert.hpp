#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "greentrainer/ops/activation.hpp"

namespace greentrainer {

/// One expert of a layer: y = sum + weight * down(f(gate(x)) * up(x)) for the rows of x (R, width) whose weight in its
/// column of the routing (R, experts) is not zero; other rows stay what they are in sum (R, width), or zero for the
/// first of a layer, which has no sum. Weights of gate and up are (hidden, width), of down (width, hidden).
///
/// How many rows there are is known when the pass runs: prices are of the share that an expert has of all on average,
/// and each call adds to FlopsBeyondPlan what its rows come to beyond that. So that no memory follows from it either,
/// rows are taken in chunks, and what lies within the expert is computed again in the backward pass.
struct Expert {
  static constexpr std::string_view kind = "expert";
  static constexpr bool row_by_row = true;
  static constexpr BitSet any_format = bit(0) | bit(1) | bit(2);
  enum Part {
    hidden,       ///< gate, up and their product, again
    grad_hidden,  ///< of the product, for a weight of 1
    grad_gated,   ///< the same with the row's weight
    grad_gate_output,
    grad_up_output,
    grad_input,
    grad_routing,
    grad_gate,
    grad_up,
    grad_down,
    grad_sum
  };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;
  Extent hidden_width = 0;
  Activation function = Activation::silu;
  Extent number = 0;  ///< of the expert, among so many of which a token has top_k
  Extent experts = 1;
  Extent top_k = 1;

  std::vector<ValueShape> input_shapes() const {
    std::vector<ValueShape> shapes = {{rows, width}, {rows, experts}};
    if (has_sum()) shapes.push_back({rows, width});
    return shapes;
  }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}}; }
  std::vector<ParameterShape> parameter_shapes() const {
    return {{hidden_width, width}, {hidden_width, width}, {width, hidden_width}};
  }
  std::vector<GradPart> parts() const {
    using enum GradPart::Kind;
    std::vector<GradPart> parts = {
        {.name = "hidden", .kind = shared, .keeps_inputs = bit(0) | bit(1)},
        {.name = "grad_hidden", .kind = shared, .keeps_inputs = bit(1)},
        {.name = "grad_gated", .kind = shared, .after = bit(hidden) | bit(grad_hidden)},
        {.name = "grad_gate_output", .kind = shared, .after = bit(grad_gated)},
        {.name = "grad_up_output", .kind = shared, .after = bit(grad_gated)},
        {.name = "grad_input",
         .kind = input,
         .index = 0,
         .after = bit(grad_gate_output) | bit(grad_up_output),
         .adds = true},
        {.name = "grad_routing", .kind = input, .index = 1, .after = bit(hidden) | bit(grad_hidden), .adds = true},
        {.name = "grad_gate", .kind = parameter, .index = 0, .after = bit(grad_gate_output)},
        {.name = "grad_up", .kind = parameter, .index = 1, .after = bit(grad_up_output)},
        {.name = "grad_down", .kind = parameter, .index = 2, .after = bit(hidden)}};
    if (has_sum()) parts.push_back({.name = "grad_sum", .kind = input, .index = 2, .passes = true, .adds = true});
    return parts;
  }
  int in_place_input() const { return has_sum() ? 2 : -1; }

  LinearCost forward_cost() const { return per(rows, priced(forward_flops())); }
  LinearCost part_cost(int part, Write write) const {
    if (part == grad_sum) return per(rows, write == Write::accumulate ? width : 0);
    return per(rows, priced(part_flops(part)));
  }

  /// Rows of a chunk: enough to keep products from becoming thin.
  static constexpr Extent chunk_rows = 1024;
  Extent workspace(const Workload& workload) const {
    return std::min(chunk_rows, workload[measure_of(rows)]) * (3 + 2 * width + 5 * hidden_width);
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    using T = typename ForwardCall<B>::T;
    const auto y = call.output(0);
    if (!has_sum())
      call.backend.zero(y.data, bytes_of(y));
    else if (call.input(2).data != y.data && y.size() > 0)
      call.backend.copy(y.data, call.input(2).data, bytes_of(y));
    const std::vector<Index> routed = routed_rows(call.backend, call.input(1));
    call.loss.flops_beyond_plan += beyond_plan(forward_flops(), routed.size(), y.rows);
    for_chunks(call, routed, [&](const Index* index, const Chunk<T>& chunk) {
      compute_hidden(call, index, chunk);
      matmul(call.backend, chunk.hidden, Transpose::no, call.weight(2), Transpose::yes, chunk.wide, Write::overwrite);
      call.backend.scale_rows(chunk.wide, chunk.weights, chunk.wide);
      call.backend.scatter_rows(chunk.wide, index, y, Write::accumulate);
    });
  }

  template <class B>
  void backward(BackwardCall<B>& call) const {
    using T = typename BackwardCall<B>::T;
    if (has_sum() && call.wants(grad_sum)) pass_on(call);
    const std::vector<Index> routed = routed_rows(call.backend, call.input(1));
    for (int part = 0; part < grad_sum; ++part) {
      if (call.wants(part))
        call.loss.flops_beyond_plan += beyond_plan(part_flops(part), routed.size(), call.grad_output().rows);
    }
    for (const auto& [part, i] : {std::pair(grad_input, 0), std::pair(grad_routing, 1)}) {
      if (call.wants(part) && call.write(i) == Write::overwrite)
        call.backend.zero(call.grad_input(i).data, bytes_of(call.grad_input(i)));
    }
    for_chunks(call, routed, [&](const Index* index, const Chunk<T>& chunk) { differentiate(call, index, chunk); });
  }

 private:
  template <class T>
  static Bytes bytes_of(Matrix<T> m) {
    return m.size() * static_cast<Bytes>(sizeof(T));
  }
  bool has_sum() const { return number > 0; }

  /// FLOPs of a row that is routed here.
  Flops forward_flops() const {
    return hidden_flops() + 2 * width * hidden_width + 2 * width;  // scaled, and added
  }
  Flops hidden_flops() const { return 4 * width * hidden_width + hidden_width * (activation_flops(function) + 1); }
  Flops part_flops(int part) const {
    switch (part) {
      case hidden: return hidden_flops();
      case grad_gated: return hidden_width;
      case grad_gate_output: return hidden_width * (activation_grad_flops(function) + 1);
      case grad_up_output: return hidden_width * (activation_flops(function) + 1);
      case grad_input: return 4 * width * hidden_width + width;
      case grad_routing: return 2 * hidden_width + 1;
      case grad_down: return 2 * width * hidden_width + hidden_width;
      default: return 2 * width * hidden_width;  // grad_hidden, grad_gate, grad_up
    }
  }
  /// Of any row, on average.
  Flops priced(Flops of_routed) const { return of_routed * top_k / experts; }
  Flops beyond_plan(Flops of_routed, std::size_t routed, Extent all) const {
    return of_routed * static_cast<Flops>(routed) - priced(of_routed) * all;
  }

  /// Some routed rows on the backend, in the workspace.
  template <class T>
  struct Chunk {
    Matrix<T> weights;   ///< (rows, 1)
    Matrix<T> numbers;   ///< (rows, 1), what becomes of them
    Matrix<T> x;         ///< (rows, width)
    Matrix<T> wide;      ///< (rows, width): outputs, then gradients
    Matrix<T> gate, up;  ///< (rows, hidden_width)
    Matrix<T> hidden;    ///< the product
    Matrix<T> grad_hidden;
    Matrix<T> grad_gate;
  };

  /// Rows that have a weight, ascending. Waits for the backend: sizes of products are the host's to say.
  template <class B, class T>
  std::vector<Index> routed_rows(B& backend, Matrix<const T> routing) const {
    std::vector<T> weights(static_cast<std::size_t>(routing.size()));
    if (!weights.empty()) backend.copy_to_host(weights.data(), routing.data, bytes_of(routing));
    std::vector<Index> routed;
    for (Extent r = 0; r < routing.rows; ++r) {
      if (weights[static_cast<std::size_t>(r * experts + number)] != T(0)) routed.push_back(static_cast<Index>(r));
    }
    return routed;
  }

  /// Calls visit(row numbers in the backend's memory, chunk) for chunks of the routed rows.
  template <class Call, class Visit>
  void for_chunks(Call& call, std::span<const Index> routed, Visit visit) const {
    using T = typename Call::T;
    static_assert(sizeof(T) >= sizeof(Index), "row numbers lie in the workspace");
    while (!routed.empty()) {
      const auto some = routed.first(std::min(routed.size(), static_cast<std::size_t>(chunk_rows)));
      routed = routed.subspan(some.size());
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
                           .gate = take(hidden_width),
                           .up = take(hidden_width),
                           .hidden = take(hidden_width),
                           .grad_hidden = take(hidden_width),
                           .grad_gate = take(hidden_width)};
      visit(index, chunk);
    }
  }

  template <class T>
  Matrix<T> own_column(Matrix<T> routing) const {
    return {routing.data + number, routing.rows, 1, routing.stride};
  }

  template <class Call, class T>
  void compute_hidden(Call& call, const Index* index, const Chunk<T>& chunk) const {
    call.backend.gather_rows(call.input(0), index, chunk.x);
    call.backend.gather_rows(own_column(call.input(1)), index, chunk.weights);
    matmul(call.backend, chunk.x, Transpose::no, call.weight(0), Transpose::yes, chunk.gate, Write::overwrite);
    matmul(call.backend, chunk.x, Transpose::no, call.weight(1), Transpose::yes, chunk.up, Write::overwrite);
    call.backend.gated_forward(function, chunk.gate, chunk.up, chunk.hidden);
  }

  template <class B, class T>
  void differentiate(BackwardCall<B>& call, const Index* index, const Chunk<T>& chunk) const {
    auto& backend = call.backend;
    if (call.wants(hidden)) compute_hidden(call, index, chunk);
    backend.gather_rows(call.grad_output(), index, chunk.wide);
    if (call.wants(grad_hidden))
      matmul(backend, chunk.wide, Transpose::no, call.weight(2), Transpose::no, chunk.grad_hidden, Write::overwrite);
    if (call.wants(grad_routing)) {
      backend.dot_rows(chunk.grad_hidden, chunk.hidden, chunk.numbers);
      backend.scatter_rows(chunk.numbers, index, own_column(call.grad_input(1)), Write::accumulate);
    }
    if (call.wants(grad_down)) {
      backend.scale_rows(chunk.hidden, chunk.weights, chunk.hidden);
      backend.matmul(chunk.wide, Transpose::yes, chunk.hidden, Transpose::no, call.grad_parameter(2),
                     Write::accumulate);
    }
    if (call.wants(grad_gated)) backend.scale_rows(chunk.grad_hidden, chunk.weights, chunk.grad_hidden);
    if (call.wants(grad_gate_output))
      backend.gated_grad_gate(function, chunk.grad_hidden, chunk.gate, chunk.up, chunk.grad_gate);
    const Matrix<T> grad_up_values = chunk.up;  // which is not read any more
    if (call.wants(grad_up_output)) backend.gated_grad_up(function, chunk.grad_hidden, chunk.gate, grad_up_values);
    if (call.wants(grad_gate))
      backend.matmul(chunk.grad_gate, Transpose::yes, chunk.x, Transpose::no, call.grad_parameter(0),
                     Write::accumulate);
    if (call.wants(grad_up))
      backend.matmul(grad_up_values, Transpose::yes, chunk.x, Transpose::no, call.grad_parameter(1), Write::accumulate);
    if (!call.wants(grad_input)) return;
    matmul(backend, chunk.grad_gate, Transpose::no, call.weight(0), Transpose::no, chunk.wide, Write::overwrite);
    matmul(backend, grad_up_values, Transpose::no, call.weight(1), Transpose::no, chunk.wide, Write::accumulate);
    backend.scatter_rows(chunk.wide, index, call.grad_input(0), Write::accumulate);
  }

  /// grad_output to the sum, unless they share memory.
  template <class B>
  void pass_on(BackwardCall<B>& call) const {
    const auto dx = call.grad_input(2);
    const auto dy = call.grad_output();
    if (dx.data == dy.data || dy.size() == 0) return;
    if (call.write(2) == Write::accumulate)
      call.backend.accumulate(dy, dx);
    else
      call.backend.copy(dx.data, dy.data, bytes_of(dy));
  }
};

}  // namespace greentrainer
