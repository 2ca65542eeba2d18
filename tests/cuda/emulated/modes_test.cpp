// What only the emulation can arrange.

#include <doctest/doctest.h>

#include "backends/attention_cases.hpp"
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
  CHECK(has(error_of<MissingDevice>([] { CudaBackend<float> backend(0); }),
            "device 0: expected a CUDA device, got none"));
}

TEST_CASE("Attention that a device has too little shared memory for is refused, and says where it runs") {
  const Session session({.block_shared_bytes = 99 << 10});  // compute capability 8.6 and 8.9
  CudaBackend<float> backend(0);
  const auto error_at = [&](Extent head_dim) {
    const auto test = attention_grad_case({.head_dim = head_dim, .query_lengths = {3}, .key_lengths = {3}},
                                          {.queries = true, .keys = true, .values = true});
    CaseData<CudaBackend<float>> data(backend, test, initial_values<float>(test));
    return error_of<BackendError>([&] { test.call(backend, data); });
  };
  CHECK(error_at(96).empty());
  CHECK(has(error_at(128), "shared memory of a block: expected a device that has"));
  CHECK(has(error_at(128), "got 101376; attention over heads this wide needs compute capability 8.0, 9.0 or 10.0"));
  CHECK(cuda_emulation::take_faults().empty());
}

TEST_CASE("a CUDA backend frees all device memory when it ends") {
  const std::size_t before = cuda_emulation::live_allocations();
  {
    CudaBackend<float> backend(0);
    run_case(backend, rotary_case(5, 2, 8, Rotation::forward, false),
             initial_values<float>(rotary_case(5, 2, 8, Rotation::forward, false)));
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
