#pragma once

#include <cmath>

#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/backends/eigen/workers.hpp"
#include "greentrainer/core/kernel_arguments.hpp"

namespace greentrainer::eigen {

/// Optimizer steps, and the sums over parameters that importance and clipping need. Steps and candidates share their
/// arithmetic, so a candidate is to the bit what the step would make.
template <class T>
class UpdateKernels {
 public:
  explicit UpdateKernels(Workers& workers) : workers_(workers) {}

  void adamw_step(Extent n, T* parameter, const T* gradient, T* first_moment, T* second_moment, const AdamWStep& step) {
    const AdamW update(step);
    for_groups(n, [=](Extent i, Extent count) {
      const L g = load(gradient + i, count);
      const L m = update.first(load(first_moment + i, count), g);
      const L v = update.second(load(second_moment + i, count), g);
      store(first_moment + i, m, count);
      store(second_moment + i, v, count);
      store(parameter + i, update.parameter(load(parameter + i, count), m, v), count);
    });
  }
  void adamw_candidate(Extent n, T* parameter, const T* gradient, const T* first_moment, const T* second_moment,
                       const AdamWStep& step) {
    const AdamW update(step);
    for_groups(n, [=](Extent i, Extent count) {
      const L g = load(gradient + i, count);
      const L m = update.first(load_or_zero(first_moment, i, count), g);
      const L v = update.second(load_or_zero(second_moment, i, count), g);
      store(parameter + i, update.parameter(load(parameter + i, count), m, v), count);
    });
  }

  void sgd_step(Extent n, T* parameter, const T* gradient, T* velocity, const SgdStep& step) {
    const Sgd update(step);
    for_groups(n, [=](Extent i, Extent count) {
      const L p = load(parameter + i, count);
      const L v = update.direction(p, load(gradient + i, count), step.first ? nullptr : velocity, i, count);
      if (velocity != nullptr) store(velocity + i, v, count);
      store(parameter + i, update.parameter(p, v), count);
    });
  }
  void sgd_candidate(Extent n, T* parameter, const T* gradient, const T* velocity, const SgdStep& step) {
    const Sgd update(step);
    for_groups(n, [=](Extent i, Extent count) {
      const L p = load(parameter + i, count);
      store(parameter + i,
            update.parameter(p,
                             update.direction(p, load(gradient + i, count), step.first ? nullptr : velocity, i, count)),
            count);
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

  /// torch.optim.AdamW: p = p (1 - lr wd) - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + epsilon).
  struct AdamW {
    T decay, beta1, beta1_rest, beta2, beta2_rest, step_size, correction, epsilon;

    explicit AdamW(const AdamWStep& s)
        : decay(static_cast<T>(1 - s.learning_rate * s.weight_decay)),
          beta1(static_cast<T>(s.beta1)),
          beta1_rest(static_cast<T>(1 - s.beta1)),
          beta2(static_cast<T>(s.beta2)),
          beta2_rest(static_cast<T>(1 - s.beta2)),
          step_size(static_cast<T>(s.learning_rate / (1 - std::pow(s.beta1, static_cast<double>(s.step))))),
          correction(static_cast<T>(std::sqrt(1 - std::pow(s.beta2, static_cast<double>(s.step))))),
          epsilon(static_cast<T>(s.epsilon)) {}

    L first(const L& m, const L& g) const { return m * beta1 + g * beta1_rest; }
    L second(const L& v, const L& g) const { return v * beta2 + g * g * beta2_rest; }
    L parameter(const L& p, const L& m, const L& v) const {
      return p * decay - m / (v.sqrt() / correction + epsilon) * step_size;
    }
  };

  /// torch.optim.SGD: v = momentum v + (g + wd p); p = p - lr v.
  struct Sgd {
    T learning_rate, momentum, weight_decay;

    explicit Sgd(const SgdStep& s)
        : learning_rate(static_cast<T>(s.learning_rate)),
          momentum(static_cast<T>(s.momentum)),
          weight_decay(static_cast<T>(s.weight_decay)) {}

    L direction(const L& p, const L& g, const T* velocity, Extent i, Extent count) const {
      L slope = g + p * weight_decay;
      if (momentum == T(0) || velocity == nullptr) return slope;
      return load(velocity + i, count) * momentum + slope;
    }
    L parameter(const L& p, const L& v) const { return p - v * learning_rate; }
  };

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
