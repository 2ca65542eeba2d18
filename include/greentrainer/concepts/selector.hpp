#pragma once

#include <concepts>

namespace greentrainer {

struct SelectionProblem;  // select/selection_problem.hpp; concepts lie below the layer that fulfils them
struct SelectionResult;

/// Chooses what to train. `selector.select(problem)` returns a mask with one entry an item of the problem, its
/// importance and its true cost, which does not exceed the problem's budget. It must not choose items whose importance
/// is negative; equal problems give equal results, on every machine; it throws ConfigError if the problem is not valid
/// (see validate()) and nothing else. A selector is configuration: select() is const and may be called from several
/// threads.
template <class S>
concept Selector = requires(const S& selector, const SelectionProblem& problem) {
  { selector.select(problem) } -> std::same_as<SelectionResult>;
};

}  // namespace greentrainer
