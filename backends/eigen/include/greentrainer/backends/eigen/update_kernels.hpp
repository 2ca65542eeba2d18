#pragma once

#include <algorithm>
#include <array>

#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/backends/eigen/workers.hpp"
#include "greentrainer/concepts/update_rule.hpp"

namespace greentrainer::eigen {

/// Updates by a rule, and the sums over parameters that importance and clipping need. A candidate is to the bit what
/// the step would make.
template <class T>
class UpdateKernels {
 public:
  explicit UpdateKernels(Workers& workers) : workers_(workers) {}

  template <UpdateRule<Lanes<T>> R, class... State>
  void update_step(Extent n, const R& rule, T* parameter, const T* gradient, State*... state) {
    for_groups(n, [=](Extent i, Extent count) {
      update(
          rule, parameter, gradient, i, count, [=](const auto&... kept) { (store(state + i, kept, count), ...); },
          load(state + i, count)...);
    });
  }
  template <UpdateRule<Lanes<T>> R, class... State>
  void update_candidate(Extent n, const R& rule, T* parameter, const T* gradient, const State*... state) {
    for_groups(n, [=](Extent i, Extent count) {
      update(
          rule, parameter, gradient, i, count, [](const auto&...) {}, load_or_zero(state, i, count)...);
    });
  }

  void update_dot(Extent n, const T* gradient, const T* updated, const T* before, double* result) {
    const auto term = [](const L& g, const L& u, const L& b) { return std::array<L, 1>{g * (u - b)}; };
    *result += workers_.sum_over_elements(n, [=](Extent first, Extent count) {
      return sum_lanes<T, 1>(count, T(0), term, gradient + first, updated + first, before + first)[0];
    });
  }
  void sum_of_squares(Extent n, const T* x, double* result) {
    const auto term = [](const L& a) { return std::array<L, 1>{a.square()}; };
    *result += workers_.sum_over_elements(
        n, [=](Extent first, Extent count) { return sum_lanes<T, 1>(count, T(0), term, x + first)[0]; });
  }
  void count_non_finite(Extent n, const T* x, double* result) {
    const auto term = [](const L& a) { return std::array<L, 1>{a.isFinite().select(L::Zero(), L::Ones())}; };
    *result += workers_.sum_over_elements(
        n, [=](Extent first, Extent count) { return sum_lanes<T, 1>(count, T(0), term, x + first)[0]; });
  }

 private:
  using L = Lanes<T>;

  /// One group of lanes; keep(state...) is called with its new state.
  template <class R, class Keep, class... State>
  static void update(const R& rule, T* parameter, const T* gradient, Extent i, Extent count, Keep keep,
                     State... state) {
    L p = load(parameter + i, count);
    rule(p, load(gradient + i, count), state...);
    keep(state...);
    store(parameter + i, p, count);
  }
  static L load_or_zero(const T* x, Extent i, Extent count) {
    if (x == nullptr) return L::Zero();
    return load(x + i, count);
  }

  /// Calls run(i, count) for each group of lanes.
  template <class Run>
  void for_groups(Extent n, Run run) {
    workers_.for_elements(n, [&](Extent first, Extent count) {
      for (Extent i = first; i < first + count; i += lanes<T>) run(i, std::min(lanes<T>, first + count - i));
    });
  }

  Workers& workers_;
};

}  // namespace greentrainer::eigen
