#include "greentrainer/backends/cuda/updates.cuh"

namespace greentrainer::cuda {

template class UpdateKernels<float>;
template class UpdateKernels<double>;

}  // namespace greentrainer::cuda
