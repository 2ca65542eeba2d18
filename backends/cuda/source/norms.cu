#include "greentrainer/backends/cuda/norms.cuh"

namespace greentrainer::cuda {

template class NormKernels<float>;
template class NormKernels<double>;

}  // namespace greentrainer::cuda
