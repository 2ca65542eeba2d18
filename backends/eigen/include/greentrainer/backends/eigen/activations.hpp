#pragma once

#include <numbers>
#include <unsupported/Eigen/SpecialFunctions>

#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/core/kernel_arguments.hpp"

namespace greentrainer::eigen {

// Eigen's exp and erf pass a NaN on, although they clamp their argument; a test holds them to it. Its select and
// unaryExpr work element by element, so nothing costly may stand inside them.

// Each has value(x) and grad(grad_output, saved) on Lanes; saved is the output for ReLU, the input for the others.

template <class T>
struct Relu {
  using L = Lanes<T>;
  L value(const L& x) const { return (x < T(0)).select(L::Zero(), x); }  // NaN stays NaN
  L grad(const L& dy, const L& y) const { return (y <= T(0)).select(L::Zero(), dy); }
};

template <class T>
struct Gelu {
  using L = Lanes<T>;
  static L cdf(const L& x) { return T(0.5) * (T(1) + (x * T(1 / std::numbers::sqrt2)).erf()); }
  L value(const L& x) const { return x * cdf(x); }
  L grad(const L& dy, const L& x) const {
    constexpr T density = T(0.5 * std::numbers::inv_sqrtpi * std::numbers::sqrt2);  // of the normal distribution at 0
    return dy * (cdf(x) + x * density * (x * x * T(-0.5)).exp());
  }
};

template <class T>
struct GeluTanh {
  using L = Lanes<T>;
  static constexpr T slope = T(std::numbers::sqrt2 * std::numbers::inv_sqrtpi);  // sqrt(2 / pi)
  static constexpr T cubic = T(0.044715);
  // (1 + tanh(u)) / 2 as the logistic function of 2u: one exp, and exact in both tails.
  static L gate(const L& x) { return T(1) / (T(1) + (x * (T(1) + cubic * x * x) * (T(-2) * slope)).exp()); }
  L value(const L& x) const { return x * gate(x); }
  L grad(const L& dy, const L& x) const {
    const L g = gate(x);
    return dy * (g + x * g * (T(1) - g) * (T(2) * slope) * (T(1) + T(3) * cubic * x * x));
  }
};

template <class T>
struct Silu {
  using L = Lanes<T>;
  static L gate(const L& x) { return T(1) / (T(1) + (-x).exp()); }
  L value(const L& x) const { return x * gate(x); }
  L grad(const L& dy, const L& x) const {
    const L g = gate(x);
    return dy * g * (T(1) + x * (T(1) - g));
  }
};

template <class T>
struct Tanh {
  using L = Lanes<T>;
  L value(const L& x) const { return x.tanh(); }
  // 1 - tanh^2 from exp, which loses no digits where tanh is near 1.
  L grad(const L& dy, const L& x) const {
    const L e = (x.abs() * T(-2)).exp();
    return dy * (T(4) * e / (T(1) + e).square());
  }
};

template <class T>
struct ReluSquared {
  using L = Lanes<T>;
  L value(const L& x) const { return (x < T(0)).select(L::Zero(), x.square()); }
  L grad(const L& dy, const L& x) const { return (x <= T(0)).select(L::Zero(), dy * (T(2) * x)); }
};

template <class T>
struct Sigmoid {
  using L = Lanes<T>;
  L value(const L& x) const { return T(1) / (T(1) + (-x).exp()); }
  L grad(const L& dy, const L& x) const {
    const L y = value(x);
    return dy * y * (T(1) - y);
  }
};

/// Calls use(f) with the activation of that kind.
template <class T, class Use>
void with_activation(Activation kind, Use use) {
  switch (kind) {
    case Activation::relu: return use(Relu<T>{});
    case Activation::gelu: return use(Gelu<T>{});
    case Activation::gelu_tanh: return use(GeluTanh<T>{});
    case Activation::silu: return use(Silu<T>{});
    case Activation::tanh: return use(Tanh<T>{});
    case Activation::relu_squared: return use(ReluSquared<T>{});
    case Activation::sigmoid: return use(Sigmoid<T>{});
  }
}

}  // namespace greentrainer::eigen
