#pragma once

#include <array>
#include <cmath>
#include <string_view>

#include "greentrainer/core/types.hpp"

// Element-wise updates, each described once (concepts/update_rule.hpp says what a rule is). A backend that takes rules
// runs all of them, and knows none. Constants are rounded to T once, from double. V is T or, where a backend takes
// several elements at a time, an array of them with element-wise + - * / and sqrt.

namespace greentrainer {

/// What one update of one tensor is made with, its options apart.
struct UpdateScalars {
  double learning_rate = 0;  ///< of this step and this tensor
  double weight_decay = 0;   ///< of this tensor
  Extent step = 1;           ///< this tensor's own, counted from 1
};

/// `size` with the sign of x, and x itself where it has none: 0 or NaN. No FLOPs.
template <class T, class V>
constexpr V with_sign_of(const V& x, T size) {
  if constexpr (requires { (x > size).select(x, x); })
    return (x > T(0)).select(V::Constant(size), (x < T(0)).select(V::Constant(-size), x));
  else
    return x > T(0) ? V(size) : x < T(0) ? V(-size) : x;
}

/// x, or `least` where x is below. NaN stays NaN. No FLOPs.
template <class T, class V>
constexpr V at_least(const V& x, T least) {
  if constexpr (requires { (x < least).select(x, x); })
    return (x < least).select(V::Constant(least), x);
  else
    return x < least ? V(least) : x;
}

/// torch.optim.AdamW: p = p (1 - lr wd) - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + epsilon).
template <class T>
struct AdamWRule {
  static constexpr std::array<std::string_view, 2> state = {"exp_avg", "exp_avg_sq"};
  static constexpr Flops flops = 14;

  T decay, beta1, beta1_rest, beta2, beta2_rest, step_size, correction, epsilon;

  AdamWRule(double b1, double b2, double eps, const UpdateScalars& s)
      : decay(static_cast<T>(1 - s.learning_rate * s.weight_decay)),
        beta1(static_cast<T>(b1)),
        beta1_rest(static_cast<T>(1 - b1)),
        beta2(static_cast<T>(b2)),
        beta2_rest(static_cast<T>(1 - b2)),
        step_size(static_cast<T>(s.learning_rate / (1 - std::pow(b1, static_cast<double>(s.step))))),
        correction(static_cast<T>(std::sqrt(1 - std::pow(b2, static_cast<double>(s.step))))),
        epsilon(static_cast<T>(eps)) {}

  template <class V>
  constexpr void operator()(V& p, const V& g, V& m, V& v) const {
    using std::sqrt;
    m = m * beta1 + g * beta1_rest;
    v = v * beta2 + g * g * beta2_rest;
    p = p * decay - m / (sqrt(v) / correction + epsilon) * step_size;
  }
};

/// torch.optim.SGD without momentum: p = p - lr (g + wd p).
template <class T>
struct SgdRule {
  static constexpr std::array<std::string_view, 0> state = {};
  static constexpr Flops flops = 4;

  T learning_rate, weight_decay;

  explicit SgdRule(const UpdateScalars& s)
      : learning_rate(static_cast<T>(s.learning_rate)), weight_decay(static_cast<T>(s.weight_decay)) {}

  template <class V>
  constexpr void operator()(V& p, const V& g) const {
    p = p - (g + p * weight_decay) * learning_rate;
  }
};

/// torch.optim.SGD with momentum: v = momentum v + (g + wd p); p = p - lr v.
template <class T>
struct SgdMomentumRule {
  static constexpr std::array<std::string_view, 1> state = {"momentum_buffer"};
  static constexpr Flops flops = 6;

  T learning_rate, momentum, weight_decay;

  SgdMomentumRule(double kept, const UpdateScalars& s)
      : learning_rate(static_cast<T>(s.learning_rate)),
        momentum(static_cast<T>(kept)),
        weight_decay(static_cast<T>(s.weight_decay)) {}

  template <class V>
  constexpr void operator()(V& p, const V& g, V& v) const {
    v = v * momentum + (g + p * weight_decay);
    p = p - v * learning_rate;
  }
};

/// Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms"): p = p (1 - lr wd) - lr sign(b1 m + (1 -
/// b1) g); m = b2 m + (1 - b2) g.
template <class T>
struct LionRule {
  static constexpr std::array<std::string_view, 1> state = {"exp_avg"};
  static constexpr Flops flops = 8;

  T decay, beta1, beta1_rest, beta2, beta2_rest, learning_rate;

  LionRule(double b1, double b2, const UpdateScalars& s)
      : decay(static_cast<T>(1 - s.learning_rate * s.weight_decay)),
        beta1(static_cast<T>(b1)),
        beta1_rest(static_cast<T>(1 - b1)),
        beta2(static_cast<T>(b2)),
        beta2_rest(static_cast<T>(1 - b2)),
        learning_rate(static_cast<T>(s.learning_rate)) {}

  template <class V>
  constexpr void operator()(V& p, const V& g, V& m) const {
    const V direction = m * beta1 + g * beta1_rest;
    p = p * decay - with_sign_of(direction, learning_rate);
    m = m * beta2 + g * beta2_rest;
  }
};

/// torch.optim.RMSprop without momentum: g = g + wd p; v = a v + (1 - a) g^2; p = p - lr g / (sqrt(v) + epsilon).
template <class T>
struct RmsPropRule {
  static constexpr std::array<std::string_view, 1> state = {"square_avg"};
  static constexpr Flops flops = 11;

  T learning_rate, weight_decay, alpha, alpha_rest, epsilon;

  RmsPropRule(double a, double eps, const UpdateScalars& s)
      : learning_rate(static_cast<T>(s.learning_rate)),
        weight_decay(static_cast<T>(s.weight_decay)),
        alpha(static_cast<T>(a)),
        alpha_rest(static_cast<T>(1 - a)),
        epsilon(static_cast<T>(eps)) {}

  template <class V>
  constexpr V direction(const V& p, const V& g, V& v) const {
    using std::sqrt;
    const V slope = g + p * weight_decay;
    v = v * alpha + slope * slope * alpha_rest;
    return slope / (sqrt(v) + epsilon);
  }
  template <class V>
  constexpr void operator()(V& p, const V& g, V& v) const {
    p = p - direction(p, g, v) * learning_rate;
  }
};

/// torch.optim.RMSprop with momentum: b = momentum b + g / (sqrt(v) + epsilon); p = p - lr b.
template <class T>
struct RmsPropMomentumRule {
  static constexpr std::array<std::string_view, 2> state = {"square_avg", "momentum_buffer"};
  static constexpr Flops flops = 13;

  RmsPropRule<T> squares;
  T momentum;

  RmsPropMomentumRule(double a, double eps, double kept, const UpdateScalars& s)
      : squares(a, eps, s), momentum(static_cast<T>(kept)) {}

  template <class V>
  constexpr void operator()(V& p, const V& g, V& v, V& b) const {
    b = b * momentum + squares.direction(p, g, v);
    p = p - b * squares.learning_rate;
  }
};

/// torch.optim.Adagrad: g = g + wd p; s = s + g^2; p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + epsilon).
template <class T>
struct AdagradRule {
  static constexpr std::array<std::string_view, 1> state = {"sum"};
  static constexpr Flops flops = 9;

  T learning_rate, weight_decay, epsilon;

  AdagradRule(double lr_decay, double eps, const UpdateScalars& s)
      : learning_rate(static_cast<T>(s.learning_rate / (1 + static_cast<double>(s.step - 1) * lr_decay))),
        weight_decay(static_cast<T>(s.weight_decay)),
        epsilon(static_cast<T>(eps)) {}

  template <class V>
  constexpr void operator()(V& p, const V& g, V& sum) const {
    using std::sqrt;
    const V slope = g + p * weight_decay;
    sum = sum + slope * slope;
    p = p - slope / (sqrt(sum) + epsilon) * learning_rate;
  }
};

// What Adafactor, which is not element-wise, is made of besides sums: optim/adafactor.hpp.

/// A running mean p of numbers `scale` g, of which the newest has this share: p = p + (scale g - p) share.
template <class T>
struct RunningMeanRule {
  static constexpr std::array<std::string_view, 0> state = {};
  static constexpr Flops flops = 4;

  T scale, share;

  RunningMeanRule(double scale_, double share_) : scale(static_cast<T>(scale_)), share(static_cast<T>(share_)) {}

  template <class V>
  constexpr void operator()(V& p, const V& g) const {
    p = p + (g * scale - p) * share;
  }
};

/// The same of squares: p = p + (g^2 - p) share.
template <class T>
struct RunningSquareRule {
  static constexpr std::array<std::string_view, 0> state = {};
  static constexpr Flops flops = 4;

  T share;

  explicit RunningSquareRule(double share_) : share(static_cast<T>(share_)) {}

  template <class V>
  constexpr void operator()(V& p, const V& g) const {
    p = p + (g * g - p) * share;
  }
};

/// Of an estimate p of squares: p = g / sqrt(max(p scale, least)).
template <class T>
struct NormalisedRule {
  static constexpr std::array<std::string_view, 0> state = {};
  static constexpr Flops flops = 3;

  T scale, least;

  NormalisedRule(double scale_, double least_) : scale(static_cast<T>(scale_)), least(static_cast<T>(least_)) {}

  template <class V>
  constexpr V direction(const V& g, const V& squares) const {
    using std::sqrt;
    const V estimate = squares * scale;
    return g / sqrt(at_least(estimate, least));
  }
  template <class V>
  constexpr void operator()(V& p, const V& g) const {
    p = direction(g, p);
  }
};

/// The step in that direction: p = p decay - g / sqrt(max(squares scale, least)) step_size.
template <class T>
struct NormalisedStepRule {
  static constexpr std::array<std::string_view, 1> state = {"squares"};
  static constexpr Flops flops = 6;

  NormalisedRule<T> normalised;
  T decay, step_size;

  NormalisedStepRule(const NormalisedRule<T>& of, double decay_, double step_size_)
      : normalised(of), decay(static_cast<T>(decay_)), step_size(static_cast<T>(step_size_)) {}

  template <class V>
  constexpr void operator()(V& p, const V& g, V& squares) const {
    p = p * decay - normalised.direction(g, squares) * step_size;
  }
};

}  // namespace greentrainer
