#include "greentrainer/backends/cuda/cross_entropy.cuh"

namespace greentrainer::cuda {

template class CrossEntropyKernels<float>;
template class CrossEntropyKernels<double>;

}  // namespace greentrainer::cuda
