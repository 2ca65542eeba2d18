#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "greentrainer/concepts/update_rule.hpp"
#include "greentrainer/core/update_rules.hpp"
#include "operator_case.hpp"

namespace greentrainer::testing {

/// Whether state is there, or null.
enum class State { none, kept };

/// A rule at one choice of its options, for any element type.
template <class Make>
struct RuleExample {
  std::string name;
  Make make;  ///< make(std::type_identity<T>{}) is the rule for T
  Operand::Fill parameter = Operand::Fill::normal;

  using Rule = decltype(std::declval<Make>()(std::type_identity<double>{}));
  template <class B>
  auto of(const B&) const {
    return make(std::type_identity<typename B::Scalar>{});
  }
};
template <class Make>
RuleExample<Make> rule_example(std::string name, Make make, Operand::Fill parameter = Operand::Fill::normal) {
  return {std::move(name), make, parameter};
}

inline constexpr UpdateScalars update_example = {.learning_rate = 0.01, .weight_decay = 0.1, .step = 3};

inline auto adamw_example() {
  return rule_example("adamw",
                      []<class T>(std::type_identity<T>) { return AdamWRule<T>(0.9, 0.95, 1e-8, update_example); });
}
/// Calls visit(example) for every rule of the library.
template <class Visit>
void for_each_rule(Visit&& visit) {
  visit(adamw_example());
  visit(rule_example("sgd", []<class T>(std::type_identity<T>) { return SgdRule<T>(update_example); }));
  visit(rule_example("sgd with momentum",
                     []<class T>(std::type_identity<T>) { return SgdMomentumRule<T>(0.9, update_example); }));
  visit(rule_example("lion", []<class T>(std::type_identity<T>) { return LionRule<T>(0.9, 0.95, update_example); }));
  visit(rule_example("rmsprop",
                     []<class T>(std::type_identity<T>) { return RmsPropRule<T>(0.9, 1e-8, update_example); }));
  visit(rule_example("rmsprop with momentum", []<class T>(std::type_identity<T>) {
    return RmsPropMomentumRule<T>(0.9, 1e-8, 0.8, update_example);
  }));
  visit(rule_example("adagrad",
                     []<class T>(std::type_identity<T>) { return AdagradRule<T>(0.1, 1e-10, update_example); }));
  visit(rule_example("running mean", []<class T>(std::type_identity<T>) { return RunningMeanRule<T>(0.125, 0.3); }));
  visit(rule_example("running square", []<class T>(std::type_identity<T>) { return RunningSquareRule<T>(0.3); }));
  visit(rule_example(
      "normalised", []<class T>(std::type_identity<T>) { return NormalisedRule<T>(0.5, 1e-14); },
      Operand::Fill::positive));
  visit(rule_example("normalised step", []<class T>(std::type_identity<T>) {
    return NormalisedStepRule<T>(NormalisedRule<T>(0.5, 1e-14), 0.99, 0.01);
  }));
}

template <class Rule>
std::vector<Operand> update_operands(Extent n, Operand::Fill parameter, bool state_written) {
  std::vector<Operand> operands = {{.name = "parameter", .cols = n, .written = true, .fill = parameter},
                                   {.name = "gradient", .cols = n}};
  for (const std::string_view name : Rule::state) {
    const bool is_signed = name == "exp_avg" || name == "momentum_buffer";
    operands.push_back({.name = std::string(name),
                        .cols = n,
                        .written = state_written,
                        .fill = is_signed ? Operand::Fill::normal : Operand::Fill::positive});
  }
  return operands;
}

template <class Make>
auto update_step_case(const RuleExample<Make>& rule, Extent n) {
  using Rule = typename RuleExample<Make>::Rule;
  return operator_case({.kernel = "update_step",
                        .shape = text(rule.name, ' ', n),
                        .flops = Rule::flops * n,
                        .operands = update_operands<Rule>(n, rule.parameter, true)},
                       [=](auto& b, auto& d) {
                         [&]<std::size_t... K>(std::index_sequence<K...>) {
                           update_step(b, n, rule.of(b), d.vector(0), d.vector(1), d.vector(K + 2)...);
                         }
                         (std::make_index_sequence<Rule::state.size()>());
                       });
}
template <class Make>
auto update_candidate_case(const RuleExample<Make>& rule, Extent n, State state) {
  using Rule = typename RuleExample<Make>::Rule;
  return operator_case({.kernel = "update_candidate",
                        .shape = text(rule.name, ' ', n, state == State::kept ? "" : " without state"),
                        .flops = Rule::flops * n,
                        .operands = update_operands<Rule>(n, rule.parameter, false)},
                       [=](auto& b, auto& d) {
                         [&]<std::size_t... K>(std::index_sequence<K...>) {
                           update_candidate(b, n, rule.of(b), d.vector(0), d.vector(1),
                                            state == State::kept ? d.vector(K + 2) : nullptr...);
                         }
                         (std::make_index_sequence<Rule::state.size()>());
                       });
}
inline auto adamw_step_case(Extent n) { return update_step_case(adamw_example(), n); }
inline auto adamw_candidate_case(Extent n, State state) { return update_candidate_case(adamw_example(), n, state); }

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
    visit(update_dot_case(n));
    visit(sum_of_squares_case(n));
    visit(count_non_finite_case(n));
    visit(scale_case(n));
    for_each_rule([&](const auto& rule) {
      visit(update_step_case(rule, n));
      visit(update_candidate_case(rule, n, State::kept));
      // What divides by the root of its state alone has no first step.
      if (rule.name != "normalised step") visit(update_candidate_case(rule, n, State::none));
    });
  }
}

}  // namespace greentrainer::testing
