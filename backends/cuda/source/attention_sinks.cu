#include "greentrainer/backends/cuda/attention_sinks.cuh"

namespace greentrainer::cuda {

template class AttentionSinkKernels<float>;
template class AttentionSinkKernels<double>;

}  // namespace greentrainer::cuda
