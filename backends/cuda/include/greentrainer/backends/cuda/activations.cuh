#pragma once

#include <cmath>
#include <numbers>

#include "greentrainer/backends/cuda/device.hpp"
#include "greentrainer/core/kernel_arguments.hpp"

namespace greentrainer::cuda {

// Each has value(x) and grad(grad_output, saved); saved is the output for ReLU, the input for the others.

template <class T>
struct Relu {
  __device__ static T value(T x) { return x < T(0) ? T(0) : x; }  // NaN stays NaN
  __device__ static T grad(T dy, T y) { return y <= T(0) ? T(0) : dy; }
};

template <class T>
struct Gelu {
  __device__ static T cdf(T x) { return T(0.5) * (T(1) + std::erf(x * T(1 / std::numbers::sqrt2))); }
  __device__ static T value(T x) { return x * cdf(x); }
  __device__ static T grad(T dy, T x) {
    constexpr T density = T(0.5 * std::numbers::inv_sqrtpi * std::numbers::sqrt2);  // of the normal distribution at 0
    return dy * (cdf(x) + x * density * std::exp(x * x * T(-0.5)));
  }
};

template <class T>
struct GeluTanh {
  static constexpr T slope = T(std::numbers::sqrt2 * std::numbers::inv_sqrtpi);  // sqrt(2 / pi)
  static constexpr T cubic = T(0.044715);
  // (1 + tanh(u)) / 2 as the logistic function of 2u: one exp, and exact in both tails.
  __device__ static T gate(T x) { return T(1) / (T(1) + std::exp(x * (T(1) + cubic * x * x) * (T(-2) * slope))); }
  __device__ static T value(T x) { return x * gate(x); }
  __device__ static T grad(T dy, T x) {
    const T g = gate(x);
    return dy * (g + x * g * (T(1) - g) * (T(2) * slope) * (T(1) + T(3) * cubic * x * x));
  }
};

template <class T>
struct Silu {
  __device__ static T gate(T x) { return T(1) / (T(1) + std::exp(-x)); }
  __device__ static T value(T x) { return x * gate(x); }
  __device__ static T grad(T dy, T x) {
    const T g = gate(x);
    return dy * g * (T(1) + x * (T(1) - g));
  }
};

template <class T>
struct Tanh {
  __device__ static T value(T x) { return std::tanh(x); }
  // 1 - tanh^2 from exp, which loses no digits where tanh is near 1.
  __device__ static T grad(T dy, T x) {
    const T e = std::exp(x < T(0) ? T(2) * x : T(-2) * x);
    return dy * (T(4) * e / ((T(1) + e) * (T(1) + e)));
  }
};

template <class T>
struct ReluSquared {
  __device__ static T value(T x) { return x < T(0) ? T(0) : x * x; }
  __device__ static T grad(T dy, T x) { return x <= T(0) ? T(0) : dy * (T(2) * x); }
};

template <class T>
struct Sigmoid {
  __device__ static T value(T x) { return T(1) / (T(1) + std::exp(-x)); }
  __device__ static T grad(T dy, T x) {
    const T y = value(x);
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

}  // namespace greentrainer::cuda
