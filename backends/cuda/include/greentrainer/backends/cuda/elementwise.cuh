#pragma once

#include "greentrainer/backends/cuda/activations.cuh"
#include "greentrainer/backends/cuda/elementwise_kernels.hpp"
#include "greentrainer/backends/cuda/map.cuh"

namespace greentrainer::cuda {

template <class T>
struct Sum {
  __device__ T operator()(T a, T b) const { return a + b; }
};
template <class T>
struct Same {
  __device__ T operator()(T a) const { return a; }
};
template <class T>
struct Scaled {
  T factor;
  __device__ T operator()(T a) const { return a * factor; }
};

// Of an activation F.
template <class T, class F>
struct Value {
  __device__ T operator()(T x) const { return F::value(x); }
};
template <class T, class F>
struct Grad {
  __device__ T operator()(T dy, T saved) const { return F::grad(dy, saved); }
};
template <class T, class F>
struct GatedValue {
  __device__ T operator()(T gate, T up) const { return F::value(gate) * up; }
};
template <class T, class F>
struct GatedGradGate {
  __device__ T operator()(T dy, T gate, T up) const { return F::grad(dy * up, gate); }
};
template <class T, class F>
struct GatedGradUp {
  __device__ T operator()(T dy, T gate) const { return F::value(gate) * dy; }
};

template <class T>
void ElementwiseKernels<T>::add_bias(Matrix<T> y, const T* bias) {
  map_rows(context_.stream(), Sum<T>{}, y, Matrix<const T>(y), Matrix<const T>(bias, y.rows, y.cols, 0));
}
template <class T>
void ElementwiseKernels<T>::add(Matrix<const T> x, Matrix<const T> z, Matrix<T> y) {
  map(context_.stream(), "add", Sum<T>{}, y, x, z);
}
template <class T>
void ElementwiseKernels<T>::accumulate(Matrix<const T> x, Matrix<T> y) {
  map(context_.stream(), "accumulate", Sum<T>{}, y, Matrix<const T>(y), x);
}
template <class T>
void ElementwiseKernels<T>::copy_matrix(Matrix<const T> x, Matrix<T> y) {
  map(context_.stream(), "copy_matrix", Same<T>{}, y, x);
}
template <class T>
void ElementwiseKernels<T>::scale(Extent n, T* x, double factor) {
  map(context_.stream(), "scale", Scaled<T>{static_cast<T>(factor)}, Matrix<T>(x, 1, n), Matrix<const T>(x, 1, n));
}

template <class T>
void ElementwiseKernels<T>::activation_forward(Activation kind, Matrix<const T> x, Matrix<T> y) {
  with_activation<T>(kind, [&]<class F>(F) { map(context_.stream(), "activation_forward", Value<T, F>{}, y, x); });
}
template <class T>
void ElementwiseKernels<T>::activation_grad(Activation kind, Matrix<const T> grad_output, Matrix<const T> saved,
                                            Matrix<T> grad_input) {
  with_activation<T>(kind, [&]<class F>(F) {
    map(context_.stream(), "activation_grad", Grad<T, F>{}, grad_input, grad_output, saved);
  });
}
template <class T>
void ElementwiseKernels<T>::gated_forward(Activation kind, Matrix<const T> gate, Matrix<const T> up, Matrix<T> y) {
  with_activation<T>(kind,
                     [&]<class F>(F) { map(context_.stream(), "gated_forward", GatedValue<T, F>{}, y, gate, up); });
}
template <class T>
void ElementwiseKernels<T>::gated_grad_gate(Activation kind, Matrix<const T> grad_output, Matrix<const T> gate,
                                            Matrix<const T> up, Matrix<T> grad_gate) {
  with_activation<T>(kind, [&]<class F>(F) {
    map(context_.stream(), "gated_grad_gate", GatedGradGate<T, F>{}, grad_gate, grad_output, gate, up);
  });
}
template <class T>
void ElementwiseKernels<T>::gated_grad_up(Activation kind, Matrix<const T> grad_output, Matrix<const T> gate,
                                          Matrix<T> grad_up) {
  with_activation<T>(kind, [&]<class F>(F) {
    map(context_.stream(), "gated_grad_up", GatedGradUp<T, F>{}, grad_up, grad_output, gate);
  });
}

}  // namespace greentrainer::cuda
