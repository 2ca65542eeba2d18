// expect: rms_norm_forward
#include <greentrainer/backends/reference.hpp>
#include <greentrainer/concepts/backend.hpp>

namespace gt = greentrainer;

struct WithoutRmsNorm : gt::ReferenceBackend<double> {
  void rms_norm_forward(gt::Matrix<const double>, const double*, double, double, gt::Matrix<double>,
                        gt::Matrix<double>) = delete;
};

#ifdef CONTROL
static_assert(gt::BackendMemory<WithoutRmsNorm> && gt::Backend<gt::ReferenceBackend<double>>);
#else
static_assert(gt::BackendKernels<WithoutRmsNorm>);  // names the kernel, and not only BackendKernels, as
                                                    // static_assert(Backend<...>) would
#endif
