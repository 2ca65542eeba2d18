#pragma once

#include <array>
#include <concepts>
#include <type_traits>
#include <variant>

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/concepts/update_rule.hpp"
#include "greentrainer/core/update_rules.hpp"

namespace greentrainer::cuda {

/// The rules that the library greentrainer::cuda is compiled for.
template <class T>
using CompiledRule =
    std::variant<AdamWRule<T>, SgdRule<T>, SgdMomentumRule<T>, LionRule<T>, RmsPropRule<T>, RmsPropMomentumRule<T>,
                 AdagradRule<T>, RunningMeanRule<T>, RunningSquareRule<T>, NormalisedRule<T>, NormalisedStepRule<T>>;

template <class R, class Variant>
inline constexpr bool is_one_of = false;
template <class R, class... Rules>
inline constexpr bool is_one_of<R, std::variant<Rules...>> = (std::is_same_v<R, Rules> || ...);

/// Where a rule's state lies: read from `from` (null: zero), written to `to` (null: nowhere), which may be the same.
template <class T>
struct UpdateState {
  std::array<const T*, most_state> from = {};
  std::array<T*, most_state> to = {};
};

/// Updates by a rule, and the sums over parameters that importance and clipping need. A step and its candidate are one
/// kernel, so a candidate is to the bit what the step would make. A rule of one's own runs on the device where a .cu
/// file calls run_update (updates.cuh); elsewhere the library runs it on the host.
template <class T>
class UpdateKernels {
 public:
  explicit UpdateKernels(Context& context) : context_(context) {}

  template <class R, std::same_as<T>... State>
  requires is_one_of<R, CompiledRule<T>>
  void update_step(Extent n, const R& rule, T* parameter, const T* gradient, State*... state) {
    update(n, rule, parameter, gradient, {.from = {state...}, .to = {state...}});
  }
  template <class R, std::same_as<T>... State>
  requires is_one_of<R, CompiledRule<T>>
  void update_candidate(Extent n, const R& rule, T* parameter, const T* gradient, const State*... state) {
    update(n, rule, parameter, gradient, {.from = {state...}});
  }

  void update_dot(Extent n, const T* gradient, const T* updated, const T* before, double* result);
  void sum_of_squares(Extent n, const T* x, double* result);
  void count_non_finite(Extent n, const T* x, double* result);

 private:
  void update(Extent n, const CompiledRule<T>& rule, T* parameter, const T* gradient, const UpdateState<T>& state);

  Context& context_;
};

}  // namespace greentrainer::cuda
