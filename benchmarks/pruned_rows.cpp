// What leaving out the rows that nobody reads saves of a step, from each config.json alone.
//   build/native/bin/pruned_rows CONFIG_FOLDER...
// Batches of 4 x 256 tokens (T5: 256 in, 64 out), of which the last ones of each sequence are labelled. `before` runs
// everything but the head on all rows.

#include <cstdio>
#include <greentrainer/cost/exact_cost.hpp>
#include <greentrainer/cost/memory_estimate.hpp>
#include <greentrainer/cost/plan_cost.hpp>
#include <iostream>

#include "../tests/support/whole_rows.hpp"
#include "model_shapes.hpp"

namespace {

namespace gt = greentrainer;

struct Costs {};  // the operators' own, which are those of the Eigen backend
using Graph = gt::TensorGraph<Costs>;

struct Price {
  gt::Flops forward = 0, step = 0;  ///< a step is forward and backward, everything trained
  gt::Bytes activations = 0;        ///< of a step, in float
};
Price price_of(const Graph& graph, const gt::Workload& workload) {
  const gt::ExactCost<Costs> cost;
  const gt::Selection all = gt::select_all(graph);
  return {.forward = gt::evaluate(gt::forward_cost(graph, cost), workload),
          .step = gt::evaluate(gt::full_fine_tuning_cost(graph, cost), workload),
          .activations = gt::training_memory(graph, all, workload, 4, 8).activations};
}

void report(const std::string& name, const Graph& graph, const gt::Workload& workload, gt::Extent labelled) {
  const Price now = price_of(graph, workload), before = price_of(gt::testing::with_whole_rows(graph), workload);
  const auto share = [](std::int64_t less, std::int64_t all) {
    return 100 * static_cast<double>(less) / static_cast<double>(all);
  };
  const gt::Flops saved = before.step - now.step;
  std::printf("| %s | %lld | %lld | %lld | %.2f%% | %lld | %lld | %.2f%% | %.2f%% | %.1f | %.1f |\n", name.c_str(),
              static_cast<long long>(labelled), static_cast<long long>(before.forward),
              static_cast<long long>(now.forward), share(before.forward - now.forward, before.forward),
              static_cast<long long>(before.step), static_cast<long long>(now.step), share(saved, before.step),
              share(saved, before.step / 2), static_cast<double>(before.activations) / 1e6,
              static_cast<double>(now.activations) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::cout << "| model | labelled of a sequence | forward before | forward now | saved | step before | step now | "
                 "saved | of a rho 0.5 budget | activations before, MB | now, MB |\n"
                 "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
              << std::flush;
    gt::for_each_model({argv + 1, argv + argc}, [](const std::string& name, const auto& architecture) {
      const Graph graph = architecture.template graph<Costs>();
      const bool has_targets = requires { architecture.target_shift(); };
      const gt::Extent tokens = 256, targets = 64;
      for (const gt::Extent labelled : {has_targets ? targets : tokens, gt::Extent{32}, gt::Extent{1}}) {
        const gt::Workload workload = has_targets ? gt::uniform_workload(4, targets, labelled, tokens)
                                                  : gt::uniform_workload(4, tokens, labelled);
        report(name, graph, workload, labelled);
      }
    });
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
