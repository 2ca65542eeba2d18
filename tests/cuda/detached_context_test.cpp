// Gradients that stop at the context, on CUDA: those of the CPU, at the planned FLOPs.

#include "greentrainer/models/detached_context.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backends/backend_list.hpp"
#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "support/tiny_training.hpp"

namespace greentrainer::testing {
namespace {

template <Backend B>
std::vector<std::vector<float>> gradients_of(B& backend, const std::string& name, const Batch& batch) {
  Model<B> model = tiny_model(backend, name), detached = with_detached_context(model);
  GradientStore<B> gradients(backend);
  const Selection all = select_all(detached.graph());
  gradients.select(detached.graph(), all);
  gradients.zero();
  const Schedule schedule = make_schedule(detached.graph(), all);
  if constexpr (requires { backend.flops(); }) backend.reset();
  detached.executor().run(schedule, batch, {.gradients = &gradients});
  if constexpr (requires { backend.flops(); }) {
    const LinearCost planned = pass_cost(detached.graph(), schedule.plan, ExactCost<B>{}).total();
    CHECK(backend.flops() == evaluate(planned, workload_of(batch)));
  }
  std::vector<std::vector<float>> result;
  for (ParameterId id = 0; id < static_cast<ParameterId>(detached.graph().parameters().size()); ++id)
    result.push_back(gradients[id].download());
  return result;
}

}  // namespace

TEST_CASE("Gradients with a detached context on CUDA are the CPU's, also where no row or every row is context") {
  for (const std::string name : {"opt-pre", "llama-gqa-tied", "bloom"}) {
    CAPTURE(name);
    for (const std::vector<Index>& rows :
         {std::vector<Index>{2, 5, 6, 7, 12, 18}, std::vector<Index>{11},
          std::vector<Index>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18}}) {
      Batch batch = random_batch(96, {7, 12}, 3);
      batch.label_rows = rows;
      batch.labels.assign(rows.size(), 5);
      CAPTURE(rows.size());
      CountingBackend<FirstDevice<float>> cuda;
      EigenBackend<float> cpu(1);
      const auto got = gradients_of(cuda, name, batch), expected = gradients_of(cpu, name, batch);
      double scale = 0, difference = 0;
      for (std::size_t p = 0; p < expected.size(); ++p) {
        for (std::size_t i = 0; i < expected[p].size(); ++i) {
          scale = std::max(scale, static_cast<double>(std::abs(expected[p][i])));
          difference = std::max(difference, static_cast<double>(std::abs(expected[p][i] - got[p][i])));
        }
      }
      CHECK(difference < 1e-5 * scale);
    }
  }
}

}  // namespace greentrainer::testing
