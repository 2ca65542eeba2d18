// Each barrier of attention's kernels is needed.

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backends/attention_cases.hpp"
#include "cuda_emulation/emulation.hpp"
#include "greentrainer/backends/cuda.hpp"

namespace greentrainer::testing {
namespace {

TEST_CASE("Every barrier of attention's kernels, taken away, is missed") {
  const AttentionSizes sizes{.heads = 2,
                             .kv_heads = 1,
                             .head_dim = 32,
                             .causal = true,
                             .query_lengths = {70, 3},
                             .key_lengths = {80, 3},
                             .relative = {.buckets = 8, .max_distance = 20, .bidirectional = true},
                             .score_cap = 1};
  const auto forward = attention_forward_case(sizes);
  const auto grad = attention_grad_case(sizes, {.queries = true, .keys = true, .values = true, .bias = true});
  const CaseValues forward_before = initial_values<float>(forward), grad_before = initial_values<float>(grad);
  const auto results = [&] {
    CudaBackend<float> backend(0);
    return std::vector{run_case(backend, forward, forward_before).values, run_case(backend, grad, grad_before).values};
  };
  const auto expected = results();
  (void)cuda_emulation::take_barriers();
  int barriers = 0;
  for (const auto& removal : cuda_emulation::remove_each_barrier([&] { return results() != expected; })) {
    const bool in_kernel =
        removal.barrier.starts_with("attention_forward.cuh") || removal.barrier.starts_with("attention_grad_");
    if (!in_kernel) continue;  // shuffles, which stay
    ++barriers;
    CAPTURE(removal.barrier);
    CHECK(!removal.noticed.empty());
  }
  CHECK(barriers == 14);
}

}  // namespace
}  // namespace greentrainer::testing
