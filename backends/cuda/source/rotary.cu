#include "greentrainer/backends/cuda/rotary.cuh"

namespace greentrainer::cuda {

template class RotaryKernel<float>;
template class RotaryKernel<double>;

}  // namespace greentrainer::cuda
