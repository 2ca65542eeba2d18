#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cuda_emulation/device_array.hpp"
#include "cuda_emulation/emulation.hpp"
#include "cuda_emulation/planted_faults.hpp"
#include "cuda_emulation/source/sanitizers.hpp"

using namespace greentrainer::cuda_emulation;

namespace kernels {

/// Rounds in which each thread takes what its neighbour has; the last barrier protects nothing.
__global__ void pass_on(float* y) {
  GREENTRAINER_SHARED_ARRAY(float, row, 64);
  GREENTRAINER_SHARED_ARRAY(float, pairs, 64);
  row[threadIdx.x] = static_cast<float>(threadIdx.x);
  for (int round = 0; round < 3; ++round) {
    __syncthreads();
    const float next = row[(threadIdx.x + 1) % 64];
    __syncthreads();
    row[threadIdx.x] = next;
  }
  pairs[threadIdx.x] = row[threadIdx.x];
  __syncwarp();
  y[threadIdx.x] = __shfl_xor_sync(planted::all, pairs[threadIdx.x ^ 1U], 0);  // not a barrier to take away
  __syncthreads();
}

}  // namespace kernels

namespace {

bool pass_on_differs() {
  const DeviceArray<float> y(64);
  start(1, 64, kernels::pass_on, y.data());
  const std::vector<float> results = y.host();
  for (unsigned i = 0; i < 64; ++i) {
    if (results[i] != static_cast<float>(((i ^ 1U) + 3) % 64)) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("each barrier that matters is noticed when it is gone, and the one that does not is named") {
  const std::vector<BarrierRemoval> removals = remove_each_barrier(pass_on_differs);
  REQUIRE(removals.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CAPTURE(removals[i].barrier);
    CHECK(removals[i].barrier.starts_with("remove_each_barrier_test.cpp:"));
    CHECK(removals[i].noticed.empty() == (i == 3));
  }
  CHECK(take_faults().empty());
  CHECK_FALSE(pass_on_differs());
}

TEST_CASE("programs that are wrong anyway are refused") {
  CHECK_THROWS_AS(remove_each_barrier(planted::reverse<false>), std::logic_error);
  CHECK_THROWS_AS(remove_each_barrier(planted::early_return), std::logic_error);
}
