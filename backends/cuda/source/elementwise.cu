#include "greentrainer/backends/cuda/elementwise.cuh"

namespace greentrainer::cuda {

template class ElementwiseKernels<float>;
template class ElementwiseKernels<double>;

}  // namespace greentrainer::cuda
