#include "greentrainer/backends/cuda/rows.cuh"

namespace greentrainer::cuda {

template class RowKernels<float>;
template class RowKernels<double>;

}  // namespace greentrainer::cuda
