#include "greentrainer/backends/cuda/routing.cuh"

namespace greentrainer::cuda {

template class RoutingKernels<float>;
template class RoutingKernels<double>;

}  // namespace greentrainer::cuda
