#include "greentrainer/backends/cuda/clamped_gate.cuh"

namespace greentrainer::cuda {

template class ClampedGateKernels<float>;
template class ClampedGateKernels<double>;

}  // namespace greentrainer::cuda
