#pragma once

#include "operator_case.hpp"

namespace greentrainer::testing {

/// Whether moments or a velocity are there, or null.
enum class State { none, kept };

inline std::vector<Operand> update_operands(Extent n, bool state_written) {
  return {{.name = "parameter", .cols = n, .written = true},
          {.name = "gradient", .cols = n},
          {.name = "first", .cols = n, .written = state_written},
          {.name = "second", .cols = n, .written = state_written, .fill = Operand::Fill::positive}};
}

inline constexpr AdamWStep adamw_example = {
    .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1, .step = 3};

inline auto adamw_step_case(Extent n) {
  return operator_case(
      {.kernel = "adamw_step", .shape = text(n), .flops = 14 * n, .operands = update_operands(n, true)},
      [=](auto& b, auto& d) { b.adamw_step(n, d.vector(0), d.vector(1), d.vector(2), d.vector(3), adamw_example); });
}
inline auto adamw_candidate_case(Extent n, State state) {
  return operator_case({.kernel = "adamw_candidate",
                        .shape = text(n, state == State::kept ? "" : " without moments"),
                        .flops = 14 * n,
                        .operands = update_operands(n, false)},
                       [=](auto& b, auto& d) {
                         const bool kept = state == State::kept;
                         b.adamw_candidate(n, d.vector(0), d.vector(1), kept ? d.vector(2) : nullptr,
                                           kept ? d.vector(3) : nullptr, adamw_example);
                       });
}
inline std::string sgd_text(Extent n, const SgdStep& step, State state) {
  return text(n, " momentum ", step.momentum, step.first ? " first" : "",
              state == State::kept ? "" : " without velocity");
}
inline auto sgd_step_case(Extent n, SgdStep step, State state) {
  return operator_case({.kernel = "sgd_step",
                        .shape = sgd_text(n, step, state),
                        .flops = (step.momentum == 0 ? 4 : 6) * n,
                        .operands = {{.name = "parameter", .cols = n, .written = true},
                                     {.name = "gradient", .cols = n},
                                     {.name = "velocity", .cols = n, .written = state == State::kept}}},
                       [=](auto& b, auto& d) {
                         b.sgd_step(n, d.vector(0), d.vector(1), state == State::kept ? d.vector(2) : nullptr, step);
                       });
}
inline auto sgd_candidate_case(Extent n, SgdStep step, State state) {
  return operator_case({.kernel = "sgd_candidate",
                        .shape = sgd_text(n, step, state),
                        .flops = (step.momentum == 0 ? 4 : 6) * n,
                        .operands = {{.name = "parameter", .cols = n, .written = true},
                                     {.name = "gradient", .cols = n},
                                     {.name = "velocity", .cols = n}}},
                       [=](auto& b, auto& d) {
                         b.sgd_candidate(n, d.vector(0), d.vector(1), state == State::kept ? d.vector(2) : nullptr,
                                         step);
                       });
}
inline auto update_dot_case(Extent n) {
  // Of one sign, so that the sum is no smaller than what rounding does to its terms.
  return operator_case({.kernel = "update_dot",
                        .shape = text(n),
                        .flops = 3 * n,
                        .depth = n,
                        .operands = {{.name = "gradient", .cols = n, .fill = Operand::Fill::positive},
                                     {.name = "updated", .cols = n, .fill = Operand::Fill::positive},
                                     {.name = "before", .cols = n, .fill = Operand::Fill::zero}}},
                       [=](auto& b, auto& d) { b.update_dot(n, d.vector(0), d.vector(1), d.vector(2), d.result()); });
}
inline auto sum_of_squares_case(Extent n) {
  return operator_case({.kernel = "sum_of_squares",
                        .shape = text(n),
                        .flops = 2 * n,
                        .depth = n,
                        .operands = {{.name = "x", .cols = n}}},
                       [=](auto& b, auto& d) { b.sum_of_squares(n, d.vector(0), d.result()); });
}
/// Operands are finite: tests that want others put them there.
inline auto count_non_finite_case(Extent n) {
  return operator_case(
      {.kernel = "count_non_finite", .shape = text(n), .flops = 0, .operands = {{.name = "x", .cols = n}}},
      [=](auto& b, auto& d) { b.count_non_finite(n, d.vector(0), d.result()); });
}
inline auto scale_case(Extent n) {
  return operator_case(
      {.kernel = "scale", .shape = text(n), .flops = n, .operands = {{.name = "x", .cols = n, .written = true}}},
      [=](auto& b, auto& d) { b.scale(n, d.vector(0), 0.3); });
}

template <class Visit>
void for_each_update_case(Visit&& visit) {
  for (const Extent n : {0, 1, 17, 1000, 40001}) {
    visit(adamw_step_case(n));
    visit(update_dot_case(n));
    visit(sum_of_squares_case(n));
    visit(count_non_finite_case(n));
    visit(scale_case(n));
    for (const State state : {State::none, State::kept}) {
      visit(adamw_candidate_case(n, state));
      for (const bool first : {false, true}) {
        for (const double momentum : {0.0, 0.9}) {
          const SgdStep step{.learning_rate = 0.1, .momentum = momentum, .weight_decay = 0.01, .first = first};
          if (momentum == 0 || state == State::kept) visit(sgd_step_case(n, step, state));
          visit(sgd_candidate_case(n, step, state));
        }
      }
    }
  }
}

}  // namespace greentrainer::testing
