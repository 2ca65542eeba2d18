// What choosing tensors costs beside training them, by model shape: FLOPs, time and memory of the importance pass and
// of the selection. From each config.json alone; weights are neither read nor allocated.
//   build/native/bin/choosing_overhead CONFIG_FOLDER...
// Batches of 4 x 256 tokens, 32 of them labelled (SciTLDR's size); AdamW; rho 0.5; a selection every 996 steps (2
// epochs of SciTLDR).

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/cost/memory_estimate.hpp>
#include <greentrainer/importance/loss_increase.hpp>
#include <greentrainer/optim/adamw.hpp>
#include <greentrainer/select/budgeted_selection.hpp>
#include <iostream>

#include "machine_peak.hpp"
#include "model_shapes.hpp"

namespace {

namespace gt = greentrainer;

using B = gt::EigenBackend<float>;
constexpr gt::Extent steps = 996;
constexpr double rho = 0.5;
constexpr double share_of_peak = 0.75;  // that training reaches: benchmarks/results/training_step.md

template <class Architecture>
void report(const std::string& name, const Architecture& architecture, double flops_per_second) {
  B backend(1);
  const auto graph = architecture.template graph<B>();
  const gt::Workload batch = gt::workload_for(architecture, {.sequences = 4, .tokens = 256, .labelled = 32}),
                     coming = batch * steps;
  const auto importance = gt::made_up_importance(graph.parameters().size(), 1);

  double milliseconds = 1e300;
  gt::BudgetedSelection chosen;
  for (int run = 0; run < 5; ++run) {
    const auto start = std::chrono::steady_clock::now();
    chosen = gt::select_within_ratio(graph, gt::ExactCost<B>{}, coming, importance, rho);
    milliseconds = std::min(
        milliseconds, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  gt::AdamW<B> optimizer(backend, {});
  const gt::LossIncreaseImportance<B> metric;
  const auto training = static_cast<double>(chosen.forward + chosen.cost);
  const auto choosing = static_cast<double>(metric.flops(graph, batch, optimizer));

  constexpr gt::Bytes element = sizeof(float);
  const gt::Bytes state = optimizer.state_bytes_per_element();
  const auto gibibytes = [](const gt::MemoryEstimate& memory) {
    return static_cast<double>(memory.total()) / (1 << 30);
  };
  const gt::Extent gradients = gt::TransientGradients<B>::elements(graph) + metric.scratch_elements(graph);
  std::printf("| %s | %.0f M | %zu | %.1f | %.2f | %.2f%% | %.1f | %.1g%% | %.2f | %.2f | %.2f |\n", name.c_str(),
              static_cast<double>(gt::parameter_elements(graph)) * 1e-6, graph.parameters().size(), training * 1e-12,
              choosing * 1e-12, 100 * choosing / training, milliseconds,
              100 * milliseconds * 1e-3 / (training / flops_per_second),
              gibibytes(gt::training_memory(graph, gt::select_all(graph), batch, element, state)),
              gibibytes(gt::training_memory(graph, chosen.selection, batch, element, state)),
              gibibytes(gt::importance_memory(graph, chosen.selection, batch, element, state, gradients,
                                              metric.saves_weights())));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::cerr << "choosing_overhead CONFIG_FOLDER...\n";
    return 2;
  }
  const double flops_per_second = share_of_peak * gt::measure_peak_gflops() * 1e9;
  std::printf("Training at %.0f GFLOP/s, %.0f%% of the peak measured now.\n\n", flops_per_second * 1e-9,
              100 * share_of_peak);
  std::printf(
      "| model | weights | tensors | TFLOPs of training | TFLOPs of importance | share | selecting, ms | share of time "
      "| GiB, full | GiB, rho %.1f | "
      "GiB, choosing |\n| --- |%s\n",
      rho, " ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
  gt::for_each_model({argv + 1, argv + argc}, [&](const std::string& name, const auto& architecture) {
    report(name, architecture, flops_per_second);
  });
  return 0;
} catch (const greentrainer::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
