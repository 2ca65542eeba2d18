// What only the emulation can arrange.

#include <doctest/doctest.h>

#include "backends/operator_cases.hpp"
#include "cuda_emulation/emulation.hpp"
#include "greentrainer/backends/cuda.hpp"
#include "support/temporary_folder.hpp"

namespace greentrainer::testing {
namespace {

using cuda_emulation::Session;
using cuda_emulation::Settings;

TEST_CASE("Results are the same bits in every order of threads, with streams immediate and deferred") {
  using T = float;
  std::vector<CaseOutcome> expected;
  for (const Settings& mode : cuda_emulation::every_mode()) {
    CAPTURE(cuda_emulation::text_of(mode));
    const Session session(mode);
    CudaBackend<T> backend(0);
    std::size_t i = 0;
    for_each_operator_case([&](const auto& test) {
      if (test.depth > 1100) return;  // the same kernels, longer
      CAPTURE(test.name());
      const CaseOutcome outcome = run_case(backend, test, initial_values<T>(test));
      if (i == expected.size()) expected.push_back(outcome);
      CHECK(outcome.values == expected[i].values);
      CHECK(outcome.result == expected[i].result);
      ++i;
    });
  }
}

TEST_CASE("Without any device, the error says so") {
  const Session session({.devices = 0});
  CHECK(has(error_of<MissingDevice>([] { CudaBackend<float> backend(0); }), "device 0: expected a CUDA device, got none"));
}

TEST_CASE("A backend gives everything back") {
  const std::size_t before = cuda_emulation::live_allocations();
  {
    CudaBackend<float> backend(0);
    run_case(backend, rotary_case(5, 2, 8, Rotation::forward, false), initial_values<float>(rotary_case(5, 2, 8, Rotation::forward, false)));
    CHECK(cuda_emulation::live_allocations() > before);
  }
  CHECK(cuda_emulation::live_allocations() == before);
}

TEST_CASE("A call that CUDA refuses is an error with call, file and line") {
  CudaBackend<float> backend(0);
  float host[16] = {};
  void* const memory = backend.allocate(64);
  const std::string message = error_of<BackendError>([&] {
    backend.copy(memory, host, 64);
    backend.synchronize();
  });
  CAPTURE(message);
  CHECK(has(message, "[CudaBackend] cudaMemcpyAsync("));
  CHECK(has(message, " at context.cu:"));
  CHECK(has(message, "expected success, got cudaError"));
  CHECK_FALSE(cuda_emulation::take_faults().empty());
  backend.deallocate(memory, 64);
}

TEST_CASE("A kernel that is given memory of the host is refused at its launch") {
  CudaBackend<float> backend(0);
  float host[16] = {};
  const std::string message = error_of<BackendError>([&] {
    backend.scale(16, host, 2.0);
    backend.synchronize();
  });
  CAPTURE(message);
  CHECK(has(message, "map.cuh:"));
  CHECK_FALSE(cuda_emulation::take_faults().empty());
}

TEST_CASE("Nothing above the seam, and nothing in the backend, touches device memory from the host") {
  const Session session({.streams = cuda_emulation::Streams::deferred, .protect_device_memory = true});
  CudaBackend<float> backend(0);
  for (const auto& test : {layer_norm_grad_weight_case(5, 17, 0)}) run_case(backend, test, initial_values<float>(test));
  const auto embedding = embedding_grad_weight_case(4, 9, 8, 0);
  run_case(backend, embedding, initial_values<float>(embedding));
  CHECK(cuda_emulation::take_faults().empty());
}

}  // namespace
}  // namespace greentrainer::testing
