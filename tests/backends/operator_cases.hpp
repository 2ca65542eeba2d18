#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "attention_cases.hpp"
#include "operator_case.hpp"
#include "update_cases.hpp"

namespace greentrainer::testing {

// Makers of cases, one a kernel; shapes as in concepts/backend.hpp, and FLOPs as the table there counts them.

inline std::string shape_text(Extent rows, Extent cols) { return text("(", rows, ", ", cols, ")"); }
inline const char* text_of(Write write) { return write == Write::accumulate ? " accumulate" : ""; }

inline auto matmul_case(Extent m, Extent n, Extent k, Transpose tx, Transpose tz, Write write, Extent gap = 0) {
  const bool x_turned = tx == Transpose::yes, z_turned = tz == Transpose::yes;
  return operator_case(
      {.kernel = "matmul",
       .shape = text(m, " x ", n, " x ", k, x_turned ? " t" : " n", z_turned ? "t" : "n", text_of(write)),
       .flops = 2 * m * n * k,
       .depth = k,
       .operands = {{.name = "x", .rows = x_turned ? k : m, .cols = x_turned ? m : k, .gap = gap},
                    {.name = "z", .rows = z_turned ? n : k, .cols = z_turned ? k : n, .gap = gap},
                    {.name = "y", .rows = m, .cols = n, .written = true, .gap = gap}}},
      [=](auto& b, auto& d) { b.matmul(d.in(0), tx, d.in(1), tz, d.out(2), write); });
}

inline auto add_bias_case(Extent rows, Extent cols, Extent gap) {
  return operator_case({.kernel = "add_bias",
                        .shape = shape_text(rows, cols),
                        .flops = rows * cols,
                        .operands = {{.name = "y", .rows = rows, .cols = cols, .written = true, .gap = gap},
                                     {.name = "bias", .cols = cols}}},
                       [](auto& b, auto& d) { b.add_bias(d.out(0), d.vector(1)); });
}
inline auto bias_grad_case(Extent rows, Extent cols, Extent gap) {
  return operator_case({.kernel = "bias_grad",
                        .shape = shape_text(rows, cols),
                        .flops = rows * cols,
                        .depth = rows,
                        .operands = {{.name = "dy", .rows = rows, .cols = cols, .gap = gap},
                                     {.name = "db", .cols = cols, .written = true}}},
                       [](auto& b, auto& d) { b.bias_grad(d.in(0), d.vector(1)); });
}

/// Rows of a table with repetitions, as tokens have them.
inline std::vector<Index> some_rows(Extent count, Extent of) {
  std::vector<Index> rows;
  for (Extent i = 0; i < count; ++i) rows.push_back(static_cast<Index>(i * i % of));
  return rows;
}
/// Ascending and unique, as labelled rows are.
inline std::vector<Index> ascending_rows(Extent count, Extent of) {
  std::vector<Index> rows;
  for (Extent i = 0; i < count; ++i) rows.push_back(static_cast<Index>(i * of / count));
  return rows;
}
inline auto embedding_forward_case(Extent table, Extent rows, Extent cols, Extent gap) {
  return operator_case({.kernel = "embedding_forward",
                        .shape = shape_text(rows, cols),
                        .operands = {{.name = "table", .rows = table, .cols = cols, .gap = gap},
                                     {.name = "y", .rows = rows, .cols = cols, .written = true}},
                        .indices = {some_rows(rows, table)}},
                       [](auto& b, auto& d) { b.embedding_forward(d.in(0), d.index(0), d.out(1)); });
}
inline auto embedding_grad_weight_case(Extent table, Extent rows, Extent cols, Extent gap) {
  return operator_case({.kernel = "embedding_grad_weight",
                        .shape = shape_text(rows, cols),
                        .flops = rows * cols,
                        .depth = rows,
                        .operands = {{.name = "dy", .rows = rows, .cols = cols},
                                     {.name = "dw", .rows = table, .cols = cols, .written = true, .gap = gap}},
                        .indices = {some_rows(rows, table)}},
                       [](auto& b, auto& d) { b.embedding_grad_weight(d.in(0), d.index(0), d.out(1)); });
}
inline auto gather_rows_case(Extent from, Extent rows, Extent cols, Extent gap) {
  return operator_case({.kernel = "gather_rows",
                        .shape = shape_text(rows, cols),
                        .operands = {{.name = "x", .rows = from, .cols = cols, .gap = gap},
                                     {.name = "y", .rows = rows, .cols = cols, .written = true}},
                        .indices = {ascending_rows(rows, from)}},
                       [](auto& b, auto& d) { b.gather_rows(d.in(0), d.index(0), d.out(1)); });
}
inline auto scatter_rows_case(Extent to, Extent rows, Extent cols, Extent gap, Write write) {
  return operator_case({.kernel = "scatter_rows",
                        .shape = shape_text(rows, cols) + text_of(write),
                        .flops = write == Write::accumulate ? rows * cols : 0,
                        .operands = {{.name = "x", .rows = rows, .cols = cols},
                                     {.name = "y", .rows = to, .cols = cols, .written = true, .gap = gap}},
                        .indices = {ascending_rows(rows, to)}},
                       [=](auto& b, auto& d) { b.scatter_rows(d.in(0), d.index(0), d.out(1), write); });
}

inline constexpr double norm_epsilon = 1e-5;

inline auto layer_norm_forward_case(Extent rows, Extent cols, Extent gap, bool bias = true) {
  return operator_case({.kernel = "layer_norm_forward",
                        .shape = shape_text(rows, cols) + (bias ? "" : " without bias"),
                        .flops = rows * ((bias ? 8 : 7) * cols + 5),
                        .depth = cols,
                        .operands = {{.name = "x", .rows = rows, .cols = cols, .gap = gap},
                                     {.name = "weight", .cols = cols},
                                     {.name = "bias", .cols = cols},
                                     {.name = "y", .rows = rows, .cols = cols, .written = true, .gap = gap},
                                     {.name = "stats", .rows = rows, .cols = 2, .written = true}}},
                       [=](auto& b, auto& d) {
                         b.layer_norm_forward(d.in(0), d.vector(1), bias ? d.vector(2) : nullptr, norm_epsilon,
                                              d.out(3), d.out(4));
                       });
}
inline auto layer_norm_grad_input_case(Extent rows, Extent cols, Extent gap, Write write) {
  return operator_case(
      {.kernel = "layer_norm_grad_input",
       .shape = shape_text(rows, cols) + text_of(write),
       .flops = rows * (13 * cols + 2) + (write == Write::accumulate ? rows * cols : 0),
       .depth = cols,
       .operands = {{.name = "dy", .rows = rows, .cols = cols, .gap = gap},
                    {.name = "x", .rows = rows, .cols = cols},
                    {.name = "weight", .cols = cols},
                    {.name = "stats", .rows = rows, .cols = 2},
                    {.name = "dx", .rows = rows, .cols = cols, .written = true, .gap = gap}}},
      [=](auto& b, auto& d) { b.layer_norm_grad_input(d.in(0), d.in(1), d.vector(2), d.in(3), d.out(4), write); },
      [](auto& b, auto& d) {
        b.layer_norm_forward(d.in(1), d.vector(2), d.vector(2), norm_epsilon, d.out(4), d.out(3));
      });
}
inline auto layer_norm_grad_weight_case(Extent rows, Extent cols, Extent gap) {
  return operator_case(
      {.kernel = "layer_norm_grad_weight",
       .shape = shape_text(rows, cols),
       .flops = 4 * rows * cols,
       .depth = rows,
       .operands = {{.name = "dy", .rows = rows, .cols = cols, .gap = gap},
                    {.name = "x", .rows = rows, .cols = cols},
                    {.name = "stats", .rows = rows, .cols = 2},
                    {.name = "dw", .cols = cols, .written = true},
                    {.name = "y", .rows = rows, .cols = cols}}},
      [](auto& b, auto& d) { b.layer_norm_grad_weight(d.in(0), d.in(1), d.in(2), d.vector(3)); },
      [](auto& b, auto& d) {
        b.layer_norm_forward(d.in(1), d.vector(3), d.vector(3), norm_epsilon, d.out(4), d.out(2));
      });
}
inline std::string offset_text(double offset) { return offset == 0 ? "" : " with an offset"; }
inline auto rms_norm_forward_case(Extent rows, Extent cols, Extent gap, double offset = 0) {
  return operator_case(
      {.kernel = "rms_norm_forward",
       .shape = shape_text(rows, cols) + offset_text(offset),
       .flops = rows * ((offset == 0 ? 4 : 5) * cols + 4),
       .depth = cols,
       .operands = {{.name = "x", .rows = rows, .cols = cols, .gap = gap},
                    {.name = "weight", .cols = cols},
                    {.name = "y", .rows = rows, .cols = cols, .written = true, .gap = gap},
                    {.name = "stats", .rows = rows, .cols = 1, .written = true}}},
      [=](auto& b, auto& d) { b.rms_norm_forward(d.in(0), d.vector(1), offset, norm_epsilon, d.out(2), d.out(3)); });
}
inline auto rms_norm_grad_input_case(Extent rows, Extent cols, Extent gap, Write write, double offset = 0) {
  return operator_case(
      {.kernel = "rms_norm_grad_input",
       .shape = shape_text(rows, cols) + text_of(write) + offset_text(offset),
       .flops = rows * ((offset == 0 ? 7 : 9) * cols + 4) + (write == Write::accumulate ? rows * cols : 0),
       .depth = cols,
       .operands = {{.name = "dy", .rows = rows, .cols = cols, .gap = gap},
                    {.name = "x", .rows = rows, .cols = cols},
                    {.name = "weight", .cols = cols},
                    {.name = "stats", .rows = rows, .cols = 1},
                    {.name = "dx", .rows = rows, .cols = cols, .written = true, .gap = gap}}},
      [=](auto& b, auto& d) { b.rms_norm_grad_input(d.in(0), d.in(1), d.vector(2), offset, d.in(3), d.out(4), write); },
      [=](auto& b, auto& d) { b.rms_norm_forward(d.in(1), d.vector(2), offset, norm_epsilon, d.out(4), d.out(3)); });
}
inline auto rms_norm_grad_weight_case(Extent rows, Extent cols, Extent gap) {
  return operator_case(
      {.kernel = "rms_norm_grad_weight",
       .shape = shape_text(rows, cols),
       .flops = 3 * rows * cols,
       .depth = rows,
       .operands = {{.name = "dy", .rows = rows, .cols = cols, .gap = gap},
                    {.name = "x", .rows = rows, .cols = cols},
                    {.name = "stats", .rows = rows, .cols = 1},
                    {.name = "dw", .cols = cols, .written = true},
                    {.name = "y", .rows = rows, .cols = cols}}},
      [](auto& b, auto& d) { b.rms_norm_grad_weight(d.in(0), d.in(1), d.in(2), d.vector(3)); },
      [](auto& b, auto& d) { b.rms_norm_forward(d.in(1), d.vector(3), 0, norm_epsilon, d.out(4), d.out(2)); });
}

inline auto rotary_case(Extent rows, Extent heads, const RotaryShape& rotary, Rotation rotation, bool in_place) {
  std::vector<Index> positions;
  for (Extent r = 0; r < rows; ++r) positions.push_back(static_cast<Index>(r * 37 % 300));
  const Extent cols = heads * rotary.head_dim;
  return operator_case(
      {.kernel = "rotary",
       .shape = shape_text(rows, cols) + (rotation == Rotation::forward ? "" : " backward") +
                (rotary.columns() == rotary.head_dim ? "" : " in part") + (rotary.interleaved ? " interleaved" : "") +
                (in_place ? " in place" : ""),
       .flops = 3 * rows * heads * rotary.columns(),
       .operands = {{.name = "x", .rows = rows, .cols = cols, .written = in_place},
                    {.name = "y", .rows = rows, .cols = cols, .written = !in_place, .gap = 3}},
       .indices = {positions}},
      [=](auto& b, auto& d) { b.rotary(d.in(0), d.index(0), rotary, rotation, d.out(in_place ? 0 : 1)); });
}
inline auto rotary_case(Extent rows, Extent heads, Extent head_dim, Rotation rotation, bool in_place) {
  return rotary_case(rows, heads, RotaryShape{.head_dim = head_dim}, rotation, in_place);
}

inline std::string routing_text(const RoutingShape& routing) {
  return text(", ", routing.top_k, routing.normalised ? " normalised" : "");
}
inline auto route_forward_case(Extent rows, Extent experts, Extent gap, const RoutingShape& routing) {
  return operator_case({.kernel = "route_forward",
                        .shape = shape_text(rows, experts) + routing_text(routing),
                        .flops = rows * (3 * (routing.normalised ? routing.top_k : experts) + routing.top_k),
                        .depth = experts,
                        .operands = {{.name = "logits", .rows = rows, .cols = experts, .gap = gap},
                                     {.name = "weights", .rows = rows, .cols = experts, .written = true, .gap = gap}}},
                       [=](auto& b, auto& d) { b.route_forward(routing, d.in(0), d.out(1)); });
}
inline auto route_grad_case(Extent rows, Extent experts, Extent gap, const RoutingShape& routing) {
  return operator_case(
      {.kernel = "route_grad",
       .shape = shape_text(rows, experts) + routing_text(routing),
       .flops = rows * (routing.normalised ? 4 * routing.top_k : 5 * experts + 3 * routing.top_k),
       .depth = experts,
       .operands = {{.name = "dw", .rows = rows, .cols = experts, .gap = gap},
                    {.name = "logits", .rows = rows, .cols = experts},
                    {.name = "weights", .rows = rows, .cols = experts, .gap = gap},
                    {.name = "dx", .rows = rows, .cols = experts, .written = true, .gap = gap}}},
      [=](auto& b, auto& d) { b.route_grad(routing, d.in(0), d.in(1), d.in(2), d.out(3)); },
      [=](auto& b, auto& d) { b.route_forward(routing, d.in(1), d.out(2)); });
}
inline auto scale_rows_case(Extent rows, Extent cols, Extent gap, bool in_place) {
  return operator_case({.kernel = "scale_rows",
                        .shape = shape_text(rows, cols) + (in_place ? " in place" : ""),
                        .flops = rows * cols,
                        .operands = {{.name = "x", .rows = rows, .cols = cols, .written = in_place, .gap = gap},
                                     {.name = "scale", .rows = rows, .cols = 1, .gap = 3},
                                     {.name = "y", .rows = rows, .cols = cols, .written = !in_place}}},
                       [=](auto& b, auto& d) { b.scale_rows(d.in(0), d.in(1), d.out(in_place ? 0 : 2)); });
}
inline auto dot_rows_case(Extent rows, Extent cols, Extent gap) {
  return operator_case({.kernel = "dot_rows",
                        .shape = shape_text(rows, cols),
                        .flops = 2 * rows * cols,
                        .depth = cols,
                        .operands = {{.name = "x", .rows = rows, .cols = cols, .gap = gap},
                                     {.name = "z", .rows = rows, .cols = cols},
                                     {.name = "y", .rows = rows, .cols = 1, .written = true, .gap = gap}}},
                       [](auto& b, auto& d) { b.dot_rows(d.in(0), d.in(1), d.out(2)); });
}

inline Extent value_flops(Activation f) {
  return std::map<Activation, Extent>{{Activation::relu, 0},   {Activation::gelu, 5}, {Activation::gelu_tanh, 9},
                                      {Activation::silu, 3},   {Activation::tanh, 1}, {Activation::relu_squared, 1},
                                      {Activation::sigmoid, 3}}
      .at(f);
}
inline Extent slope_flops(Activation f) {
  return std::map<Activation, Extent>{{Activation::relu, 0},   {Activation::gelu, 11}, {Activation::gelu_tanh, 19},
                                      {Activation::silu, 8},   {Activation::tanh, 4},  {Activation::relu_squared, 2},
                                      {Activation::sigmoid, 6}}
      .at(f);
}

/// Kernels of up to three matrices of one shape, each with `a_value` FLOPs an element; `call(backend, x, z, w, y)`.
/// With `place`, y is that operand.
template <class Call>
auto elementwise_case(std::string kernel, std::string note, Extent rows, Extent cols, Extent gap, Extent a_value,
                      int place, Call call) {
  std::vector<Operand> operands;
  for (int i = 0; i < 4; ++i) {
    const bool written = i == (place < 0 ? 3 : place);
    operands.push_back({.name = std::string(1, "xzwy"[i]), .rows = rows, .cols = cols, .written = written, .gap = gap});
  }
  const std::size_t out = place < 0 ? 3 : static_cast<std::size_t>(place);
  return operator_case({.kernel = std::move(kernel),
                        .shape = shape_text(rows, cols) + note + (place < 0 ? "" : " in place"),
                        .flops = rows * cols * a_value,
                        .operands = std::move(operands)},
                       [=](auto& b, auto& d) { call(b, d.in(0), d.in(1), d.in(2), d.out(out)); });
}
inline auto activation_forward_case(Activation f, Extent rows, Extent cols, Extent gap, int place = -1) {
  return elementwise_case("activation_forward", text(" ", name_of(f)), rows, cols, gap, value_flops(f), place,
                          [f](auto& b, auto x, auto, auto, auto y) { b.activation_forward(f, x, y); });
}
inline auto activation_grad_case(Activation f, Extent rows, Extent cols, Extent gap, int place = -1) {
  return elementwise_case("activation_grad", text(" ", name_of(f)), rows, cols, gap, slope_flops(f), place,
                          [f](auto& b, auto dy, auto saved, auto, auto dx) { b.activation_grad(f, dy, saved, dx); });
}
inline auto gated_forward_case(Activation f, Extent rows, Extent cols, Extent gap, int place = -1) {
  return elementwise_case("gated_forward", text(" ", name_of(f)), rows, cols, gap, value_flops(f) + 1, place,
                          [f](auto& b, auto gate, auto up, auto, auto y) { b.gated_forward(f, gate, up, y); });
}
inline auto gated_grad_gate_case(Activation f, Extent rows, Extent cols, Extent gap) {
  return elementwise_case(
      "gated_grad_gate", text(" ", name_of(f)), rows, cols, gap, slope_flops(f) + 1, -1,
      [f](auto& b, auto dy, auto gate, auto up, auto dx) { b.gated_grad_gate(f, dy, gate, up, dx); });
}
inline auto gated_grad_up_case(Activation f, Extent rows, Extent cols, Extent gap) {
  return elementwise_case("gated_grad_up", text(" ", name_of(f)), rows, cols, gap, value_flops(f) + 1, -1,
                          [f](auto& b, auto dy, auto gate, auto, auto dx) { b.gated_grad_up(f, dy, gate, dx); });
}
inline std::string clamped_text(Extent rows, Extent cols, const ClampedGate& clamped) {
  return shape_text(rows, cols) + text(", limit ", clamped.limit);
}
inline auto clamped_gate_forward_case(Extent rows, Extent cols, Extent gap, const ClampedGate& clamped) {
  return operator_case({.kernel = "clamped_gate_forward",
                        .shape = clamped_text(rows, cols, clamped),
                        .flops = 7 * rows * cols,
                        .operands = {{.name = "x", .rows = rows, .cols = 2 * cols, .gap = gap},
                                     {.name = "y", .rows = rows, .cols = cols, .written = true, .gap = gap}}},
                       [=](auto& b, auto& d) { b.clamped_gate_forward(clamped, d.in(0), d.out(1)); });
}
inline auto clamped_gate_grad_case(Extent rows, Extent cols, Extent gap, const ClampedGate& clamped, bool in_place) {
  return operator_case(
      {.kernel = "clamped_gate_grad",
       .shape = clamped_text(rows, cols, clamped) + (in_place ? " in place" : ""),
       .flops = 13 * rows * cols,
       .operands = {{.name = "dy", .rows = rows, .cols = cols, .gap = gap},
                    {.name = "x", .rows = rows, .cols = 2 * cols, .written = in_place, .gap = gap},
                    {.name = "dx", .rows = rows, .cols = 2 * cols, .written = !in_place}}},
      [=](auto& b, auto& d) { b.clamped_gate_grad(clamped, d.in(0), d.in(1), d.out(in_place ? 1 : 2)); });
}
inline auto add_case(Extent rows, Extent cols, Extent gap, int place = -1) {
  return elementwise_case("add", "", rows, cols, gap, 1, place,
                          [](auto& b, auto x, auto z, auto, auto y) { b.add(x, z, y); });
}
inline auto accumulate_case(Extent rows, Extent cols, Extent gap) {
  return elementwise_case("accumulate", "", rows, cols, gap, 1, -1,
                          [](auto& b, auto x, auto, auto, auto y) { b.accumulate(x, y); });
}
inline auto copy_matrix_case(Extent rows, Extent cols, Extent gap) {
  return elementwise_case("copy_matrix", "", rows, cols, gap, 0, -1,
                          [](auto& b, auto x, auto, auto, auto y) { b.copy_matrix(x, y); });
}
inline auto dropout_case(Extent rows, Extent cols, Extent gap, double probability, Write write, int place = -1) {
  const DropoutMask mask{.stream = {3, "dropout", 5}, .probability = probability};
  return elementwise_case("dropout", text(" of ", probability, text_of(write)), rows, cols, gap,
                          write == Write::accumulate ? 2 : 1, place,
                          [=](auto& b, auto x, auto, auto, auto y) { b.dropout(x, mask, y, write); });
}

inline auto cross_entropy_forward_case(Extent rows, Extent vocabulary, bool row_losses) {
  return operator_case({.kernel = "cross_entropy_forward",
                        .shape = shape_text(rows, vocabulary) + (row_losses ? " with row losses" : ""),
                        .flops = rows * (3 * vocabulary + 3),
                        .depth = vocabulary,
                        .operands = {{.name = "logits", .rows = rows, .cols = vocabulary, .gap = 2},
                                     {.name = "losses", .cols = rows, .written = row_losses}},
                        .indices = {some_rows(rows, vocabulary)}},
                       [=](auto& b, auto& d) {
                         b.cross_entropy_forward(d.in(0), d.index(0), row_losses ? d.vector(1) : nullptr, d.result());
                       });
}
inline auto cross_entropy_grad_case(Extent rows, Extent vocabulary) {
  return operator_case({.kernel = "cross_entropy_grad",
                        .shape = shape_text(rows, vocabulary),
                        .flops = rows * (6 * vocabulary + 3),
                        .depth = vocabulary,
                        .operands = {{.name = "logits", .rows = rows, .cols = vocabulary, .written = true, .gap = 2}},
                        .indices = {some_rows(rows, vocabulary)}},
                       [](auto& b, auto& d) { b.cross_entropy_grad(d.out(0), d.index(0), 0.125); });
}

/// The list: every kernel, at shapes that are tiny, odd, empty, strided, and larger than what a backend might take at
/// once.
template <class Visit>
void for_each_operator_case(Visit&& visit) {
  for (const Transpose tx : {Transpose::no, Transpose::yes}) {
    for (const Transpose tz : {Transpose::no, Transpose::yes}) {
      for (const Write write : {Write::overwrite, Write::accumulate}) {
        visit(matmul_case(1, 1, 1, tx, tz, write));
        visit(matmul_case(1, 70, 33, tx, tz, write));
        visit(matmul_case(3, 64, 130, tx, tz, write, 5));
        visit(matmul_case(37, 61, 501, tx, tz, write, 3));
        visit(matmul_case(96, 128, 64, tx, tz, write));
        visit(matmul_case(5, 7, 0, tx, tz, write));
        visit(matmul_case(0, 7, 3, tx, tz, write));
        visit(matmul_case(7, 0, 3, tx, tz, write));
      }
      visit(matmul_case(3900, 9, 5, tx, tz, Write::accumulate));
      visit(matmul_case(9, 4200, 5, tx, tz, Write::accumulate));
      visit(matmul_case(70, 90, 1200, tx, tz, Write::overwrite));
      visit(matmul_case(260, 270, 65, tx, tz, Write::overwrite));
    }
  }
  struct Shape {
    Extent rows, cols, gap;
  };
  for (const auto& [rows, cols, gap] :
       {Shape{1, 1, 0}, Shape{5, 17, 3}, Shape{33, 48, 0}, Shape{0, 8, 0}, Shape{7, 1100, 1}, Shape{151, 200, 0}}) {
    visit(add_bias_case(rows, cols, gap));
    visit(bias_grad_case(rows, cols, gap));
    visit(embedding_forward_case(rows + 3, 2 * rows, cols, gap));
    visit(embedding_grad_weight_case(rows / 2 + 3, rows, cols, gap));
    visit(gather_rows_case(3 * rows + 1, rows, cols, gap));
    for (const bool bias : {true, false}) visit(layer_norm_forward_case(rows, cols + 1, gap, bias));
    visit(layer_norm_grad_weight_case(rows, cols + 1, gap));
    for (const double offset : {0.0, 1.0}) visit(rms_norm_forward_case(rows, cols, gap, offset));
    visit(rms_norm_grad_weight_case(rows, cols, gap));
    for (const Write write : {Write::overwrite, Write::accumulate}) {
      visit(scatter_rows_case(3 * rows + 1, rows, cols, gap, write));
      visit(layer_norm_grad_input_case(rows, cols + 2, gap,
                                       write));  // with fewer columns the gradient is zero but for rounding
      for (const double offset : {0.0, 1.0}) visit(rms_norm_grad_input_case(rows, cols + 2, gap, write, offset));
    }
    for (const Activation f : {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu,
                               Activation::tanh, Activation::relu_squared, Activation::sigmoid}) {
      for (const int place : {-1, 0}) {
        visit(activation_forward_case(f, rows, cols, gap, place));
        visit(activation_grad_case(f, rows, cols, gap, place));
      }
      for (const int place : {-1, 0, 1}) visit(gated_forward_case(f, rows, cols, gap, place));
      visit(gated_grad_gate_case(f, rows, cols, gap));
      visit(gated_grad_up_case(f, rows, cols, gap));
    }
    for (const ClampedGate& clamped : {ClampedGate{}, ClampedGate{.slope = -0.5, .limit = 0.75}}) {
      visit(clamped_gate_forward_case(rows, cols, gap, clamped));
      for (const bool in_place : {false, true}) visit(clamped_gate_grad_case(rows, cols, gap, clamped, in_place));
    }
    for (const int place : {-1, 0, 1}) visit(add_case(rows, cols, gap, place));
    visit(accumulate_case(rows, cols, gap));
    visit(copy_matrix_case(rows, cols, gap));
    for (const double probability : {0.0, 0.1, 0.75}) {
      for (const Write write : {Write::overwrite, Write::accumulate})
        visit(dropout_case(rows, cols, gap, probability, write));
      visit(dropout_case(rows, cols, gap, probability, Write::overwrite, 0));
    }
  }
  for (const auto& [rows, cols, gap] : {Shape{1, 1, 0}, Shape{5, 17, 3}, Shape{0, 8, 0}, Shape{300, 60, 1}}) {
    for (const bool normalised : {false, true}) {
      for (const Extent top_k : {Extent{1}, std::min<Extent>(4, cols), cols}) {
        visit(route_forward_case(rows, cols, gap, {top_k, normalised}));
        visit(route_grad_case(rows, cols, gap, {top_k, normalised}));
      }
    }
    for (const bool in_place : {false, true}) visit(scale_rows_case(rows, cols, gap, in_place));
    visit(dot_rows_case(rows, cols, gap));
  }
  for (const Rotation rotation : {Rotation::forward, Rotation::backward}) {
    for (const bool in_place : {false, true}) {
      visit(rotary_case(1, 1, 2, rotation, in_place));
      visit(rotary_case(30, 3, 10, rotation, in_place));
      visit(rotary_case(65, 4, 64, rotation, in_place));
      visit(rotary_case(0, 2, 8, rotation, in_place));
      visit(rotary_case(9, 3, {.head_dim = 10, .rotated = 6, .amplitude = 1.25}, rotation, in_place));
      visit(rotary_case(9, 2, {.head_dim = 64, .rotated = 32}, rotation, in_place));
      visit(rotary_case(9, 3, {.head_dim = 8, .interleaved = true}, rotation, in_place));
      visit(rotary_case(7, 5, {.head_dim = 40, .rotated = 6, .interleaved = true, .theta = 500}, rotation, in_place));
    }
  }
  for (const Shape& shape : {Shape{1, 2, 0}, Shape{0, 9, 0}, Shape{11, 300, 0}, Shape{3, 5000, 0}}) {
    for (const bool row_losses : {false, true}) visit(cross_entropy_forward_case(shape.rows, shape.cols, row_losses));
    visit(cross_entropy_grad_case(shape.rows, shape.cols));
  }
  for_each_attention_case(visit);
  for_each_update_case(visit);
}

}  // namespace greentrainer::testing
