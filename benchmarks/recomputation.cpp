// What a pass spares by computing values again, and what that costs, by model shape: recomputation of every block, the
// choice of segments at the same peak, and the choices under lower and lower limits. Exact, from each config.json
// alone.
//   build/native/bin/recomputation CONFIG_FOLDER...
// Full fine-tuning on batches of 4 x 512 tokens, all labelled; an encoder-decoder has as many target tokens.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/cost/choose_recomputation.hpp>
#include <greentrainer/cost/exact_cost.hpp>
#include <greentrainer/cost/memory_estimate.hpp>
#include <iostream>

#include "model_shapes.hpp"

namespace {

namespace gt = greentrainer;

struct Costs {};
using Graph = gt::TensorGraph<Costs>;
constexpr gt::Bytes element_size = 4;

/// Every block of layers as a segment, and what lies below the first.
template <class Architecture>
std::vector<gt::DroppedSegment> every_block(const Graph& graph, const Architecture& architecture) {
  std::vector<gt::OperatorId> starts;
  for (gt::Extent layer = 0; layer < architecture.layers(); ++layer) {
    for (gt::OperatorId op = 0; op < static_cast<gt::OperatorId>(graph.operators().size()); ++op) {
      const auto& parameters = graph.op(op).parameters;
      if (parameters.empty() || !graph.parameter(parameters.front()).name.starts_with(architecture.layer_prefix(layer)))
        continue;
      if (op > 0) starts.push_back(op);
      break;
    }
  }
  return gt::segments_between(starts);
}

template <class Architecture>
void report(const std::string& name, const Architecture& architecture) {
  const auto graph = architecture.template graph<Costs>();
  const gt::Workload workload = gt::workload_for(architecture, {.sequences = 4, .tokens = 512, .labelled = 512});
  const gt::ExactCost<Costs> cost;
  const gt::PassPlan plan = gt::training_plan(graph, gt::select_all(graph));
  const auto full = static_cast<double>(gt::evaluate(gt::pass_cost(graph, plan, cost).total(), workload));
  const gt::Bytes rest = gt::training_memory(graph, gt::select_all(graph), workload, element_size, 8).total() -
                         gt::training_memory(graph, gt::select_all(graph), workload, element_size, 8).activations;

  const auto start = std::chrono::steady_clock::now();
  const gt::RecomputationSearch<Costs> search(graph, plan, workload, cost, element_size);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const gt::Bytes plain = search.plain_activations();
  std::printf("| %s | %zu | none | %.1f | 1.000 | %.3f | 0 | |\n", name.c_str(), search.cuts(),
              static_cast<double>(plain) / 1e6, 1.0);
  const auto row = [&](const std::string& what, gt::Bytes activations, std::int64_t again, const char* optimal) {
    std::printf("| %s | %zu | %s | %.1f | %.3f | %.3f | %.2f%% | %s |\n", name.c_str(), search.cuts(), what.c_str(),
                static_cast<double>(activations) / 1e6, static_cast<double>(activations) / static_cast<double>(plain),
                static_cast<double>(activations + rest) / static_cast<double>(plain + rest),
                100 * static_cast<double>(again) / full, optimal);
  };
  const auto chosen = [&](const std::string& what, gt::Bytes limit) {
    const auto choice = search.choose(limit);
    if (!choice) return row(what + ": nothing fits", limit, 0, "");
    row(what, choice->activations, choice->cost, choice->optimal ? "yes" : "no");
  };
  const gt::PassPlan blocks = gt::with_recomputation(graph, plan, every_block(graph, architecture));
  const gt::Bytes blocks_peak = gt::make_memory_layout(gt::make_lifetimes(graph, blocks), workload, element_size).total;
  row("every block", blocks_peak, gt::evaluate(gt::pass_cost(graph, blocks, cost).recomputed, workload), "");
  chosen("chosen, at the peak of every block", blocks_peak);
  for (const double share : {0.75, 0.5, 0.3, 0.2})
    chosen(gt::text("chosen, limit ", share), static_cast<gt::Bytes>(share * static_cast<double>(plain)));
  const auto least = search.least_memory();
  row("least memory", least.activations, least.cost, "");
  std::fprintf(stderr, "%s: search prepared in %.3f s\n", name.c_str(), seconds);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: recomputation CONFIG_FOLDER...\n";
    return 2;
  }
  std::printf(
      "| model | cuts | recomputation | activations, MB | of those | of all memory | FLOPs more | optimal |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  gt::for_each_model({argv + 1, argv + argc},
                     [](const std::string& name, const auto& architecture) { report(name, architecture); });
  return 0;
}
