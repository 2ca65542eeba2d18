// Each barrier of the kernels beside attention's is needed, in every kernel that has it.

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backends/operator_cases.hpp"
#include "cuda_emulation/emulation.hpp"
#include "greentrainer/backends/cuda.hpp"
#include "support/paths.hpp"

namespace greentrainer::testing {
namespace {

/// Whether a line of a kernel, as in "norms.cuh:42", has a barrier: shuffles hold threads up, too.
bool has_barrier(const std::string& place) {
  const std::size_t colon = place.find(':');
  std::ifstream in(testing::source_folder() / "backends/cuda/include/greentrainer/backends/cuda" /
                   place.substr(0, colon));
  std::string line;
  for (int number = std::stoi(place.substr(colon + 1)); number > 0; --number) std::getline(in, line);
  return line.find("__sync") != std::string::npos;
}

/// The barriers whose removal from the kernels of this case was noticed; fails for those whose removal was not.
template <class Case>
std::vector<std::string> needed_barriers(const Case& test) {
  CAPTURE(test.name());
  const CaseValues before = initial_values<float>(test);
  const auto results = [&] {
    CudaBackend<float> backend(0);
    const CaseOutcome outcome = run_case(backend, test, before);
    return std::pair(outcome.values, outcome.result);
  };
  const auto expected = results();
  (void)cuda_emulation::take_barriers();
  std::vector<std::string> files;
  for (const auto& removal : cuda_emulation::remove_each_barrier([&] { return results() != expected; })) {
    if (!has_barrier(removal.barrier)) continue;
    CAPTURE(removal.barrier);
    CHECK(!removal.noticed.empty());
    files.push_back(removal.barrier.substr(0, removal.barrier.find(':')));
  }
  return files;
}

using Files = std::vector<std::string>;

TEST_CASE("Every barrier of a kernel, taken away, is missed") {
  const Files block_sum = {"reductions.cuh"}, column_sums = {"column_sums.cuh"};
  CHECK(needed_barriers(layer_norm_forward_case(3, 600, 0)) == block_sum);
  CHECK(needed_barriers(layer_norm_grad_input_case(3, 600, 0, Write::accumulate)) == block_sum);
  CHECK(needed_barriers(rms_norm_forward_case(3, 600, 1)) == block_sum);
  CHECK(needed_barriers(rms_norm_grad_input_case(3, 600, 1, Write::overwrite)) == block_sum);
  CHECK(needed_barriers(sum_of_squares_case(9000)) == block_sum);
  CHECK(needed_barriers(update_dot_case(9000)) == block_sum);
  CHECK(needed_barriers(attention_sink_grad_case(37, 4, 64)) == block_sum);
  CHECK(needed_barriers(bias_grad_case(150, 200, 0)) == column_sums);
  CHECK(needed_barriers(layer_norm_grad_weight_case(150, 200, 1)) == column_sums);
  CHECK(needed_barriers(rms_norm_grad_weight_case(150, 200, 0)) == column_sums);
  CHECK(needed_barriers(rotary_case(5, 4, 64, Rotation::forward, true)) == Files{"rotary.cuh"});
  CHECK(needed_barriers(cross_entropy_forward_case(3, 2000, true)) == Files{"cross_entropy.cuh", "reductions.cuh"});
  CHECK(needed_barriers(cross_entropy_grad_case(3, 2000)) == Files{"cross_entropy.cuh"});
}

TEST_CASE("Kernels of single elements and of rows have none") {
  CHECK(needed_barriers(add_case(5, 40, 1)).empty());
  CHECK(needed_barriers(gated_forward_case(Activation::silu, 5, 40, 0)).empty());
  CHECK(needed_barriers(clamped_gate_grad_case(5, 40, 0, {}, true)).empty());
  CHECK(needed_barriers(dropout_case(5, 40, 0, 0.3, Write::overwrite)).empty());
  CHECK(needed_barriers(embedding_grad_weight_case(5, 20, 40, 0)).empty());
  CHECK(needed_barriers(scatter_rows_case(20, 5, 40, 0, Write::accumulate)).empty());
  CHECK(needed_barriers(adamw_step_case(1000)).empty());
}

}  // namespace
}  // namespace greentrainer::testing
