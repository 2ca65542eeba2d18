#include "greentrainer/backends/cuda/attention.cuh"
#include "greentrainer/backends/cuda/attention_kernels.hpp"

namespace greentrainer::cuda {

template <class T>
void AttentionKernels<T>::attention_forward(const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys,
                                            Matrix<const T> values, Matrix<const T> bias, Matrix<T> output,
                                            Matrix<T> stats) {
  cuda::attention_forward<T>(context_.stream(), shape, queries, keys, values, bias, output, stats);
}

template <class T>
void AttentionKernels<T>::attention_grad(const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys,
                                         Matrix<const T> values, Matrix<const T> bias, Matrix<const T> output,
                                         Matrix<const T> stats, Matrix<const T> grad_output, Matrix<T> grad_queries,
                                         Matrix<T> grad_keys, Matrix<T> grad_values, Matrix<T> grad_bias) {
  const Scratch<T> scratch(context_, attention_grad_scratch<T>(shape, grad_output.rows));
  cuda::attention_grad<T>(context_.stream(), shape, queries, keys, values, bias, output, stats, grad_output,
                          grad_queries, grad_keys, grad_values, grad_bias, scratch.data());
}

template class AttentionKernels<float>;
template class AttentionKernels<double>;

}  // namespace greentrainer::cuda
