#include <cstdio>

#include "greentrainer/backends/cuda.hpp"
#include "support/run_tests.hpp"

/// Without a device there is nothing to test: exit status 77, as if every case had skipped itself.
int main(int argc, char** argv) {
  try {
    greentrainer::CudaBackend<float> probe(0);
  } catch (const greentrainer::MissingDevice& error) {
    std::printf("MESSAGE: SKIP %s\n", error.what());
    return 77;
  }
  return greentrainer::testing::run_tests(argc, argv);
}
