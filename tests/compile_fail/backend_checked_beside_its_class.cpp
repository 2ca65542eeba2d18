// expect: backends/README.md, 4 and 5
// expect: cross_entropy_grad
#include <greentrainer/backends/reference.hpp>
#include <greentrainer/concepts/backend.hpp>

namespace gt = greentrainer;

struct WithOtherArguments : gt::ReferenceBackend<double> {
  void cross_entropy_grad(gt::Matrix<double>, double) {}
};

#ifdef CONTROL
static_assert(gt::check_backend<gt::ReferenceBackend<double>>());
#else
static_assert(gt::check_backend<WithOtherArguments>());
#endif
