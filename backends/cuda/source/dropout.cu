#include "greentrainer/backends/cuda/dropout.cuh"

namespace greentrainer::cuda {

template class DropoutKernel<float>;
template class DropoutKernel<double>;

}  // namespace greentrainer::cuda
