#pragma once

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/kernel_arguments.hpp"

namespace greentrainer::cuda {

/// Optimizer steps, and the sums over parameters that importance and clipping need. A step and its candidate are one
/// kernel, so a candidate is to the bit what the step would make.
template <class T>
class UpdateKernels {
 public:
  explicit UpdateKernels(Context& context) : context_(context) {}

  void adamw_step(Extent n, T* parameter, const T* gradient, T* first_moment, T* second_moment, const AdamWStep& step);
  void adamw_candidate(Extent n, T* parameter, const T* gradient, const T* first_moment, const T* second_moment,
                       const AdamWStep& step);
  void sgd_step(Extent n, T* parameter, const T* gradient, T* velocity, const SgdStep& step);
  void sgd_candidate(Extent n, T* parameter, const T* gradient, const T* velocity, const SgdStep& step);

  void update_dot(Extent n, const T* gradient, const T* updated, const T* before, double* result);
  void sum_of_squares(Extent n, const T* x, double* result);
  void count_non_finite(Extent n, const T* x, double* result);

 private:
  /// What they have in common: state that is null reads as zero, and is written where there is a place for it.
  void adamw(Extent n, T* parameter, const T* gradient, const T* first, const T* second, T* new_first, T* new_second,
             const AdamWStep& step);
  void sgd(Extent n, T* parameter, const T* gradient, const T* velocity, T* new_velocity, const SgdStep& step);

  Context& context_;
};

}  // namespace greentrainer::cuda
