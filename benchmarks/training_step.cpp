// One training step of an OPT-125M-shaped model on random weights, full and at a FLOPs ratio: GFLOP/s against the
// machine's measured peak, peak memory, and the share of every operator. Usage: training_step [batch 4] [tokens 512]
// [rho 0.5] [layers 12] [float32|bfloat16: products]

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/core/random.hpp>
#include <greentrainer/cost/exact_cost.hpp>
#include <greentrainer/cost/memory_estimate.hpp>
#include <greentrainer/models/model.hpp>
#include <greentrainer/models/opt.hpp>
#include <greentrainer/optim/adamw.hpp>
#include <greentrainer/select/budgeted_selection.hpp>
#include <iomanip>
#include <iostream>
#include <map>
#include <string>
#include <sys/resource.h>

#include "machine_peak.hpp"
#include "random_batch.hpp"

namespace gt = greentrainer;
using Backend = gt::EigenBackend<float>;

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Work {
  double seconds = 0;
  double flops = 0;
};

/// The kind of operator, and for the products what they are part of.
std::string label_of(const gt::TensorGraph<Backend>::Operator& op) {
  std::string kind(op.op->kind());
  if (kind != "linear") return kind;
  return op.name.find("fc") != std::string::npos ? "linear (feed-forward)" : "linear (attention)";
}

void measure(gt::Model<Backend>& model, const gt::Batch& batch, const gt::Selection& selection, const std::string& name,
             double peak) {
  const auto& graph = model.graph();
  const gt::Workload workload = gt::workload_of(batch);
  const gt::ExactCost<Backend> cost;
  gt::AdamW<Backend> optimizer(model.backend(), {.learning_rate = 1e-5});
  gt::GradientStore<Backend> gradients(model.backend());
  const gt::Schedule schedule = gt::make_schedule(graph, selection);
  gradients.select(graph, selection);
  optimizer.select(graph, selection);
  const auto flops = static_cast<double>(gt::evaluate(gt::pass_cost(graph, schedule.plan, cost).total(), workload));

  double pass = 1e30, update = 1e30;
  std::map<std::string, Work> forward, backward;
  for (int repeat = 0; repeat < 3; ++repeat) {  // the first warms up; the best of the others counts
    gt::PassProfile profile;
    const auto start = std::chrono::steady_clock::now();
    gradients.zero();
    model.executor().run(
        schedule, batch,
        {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &gradients, .profile = &profile});
    const double pass_seconds = seconds_since(start);
    const auto update_start = std::chrono::steady_clock::now();
    for (gt::ParameterId id = 0; id < static_cast<gt::ParameterId>(graph.parameters().size()); ++id) {
      if (selection.contains(id)) optimizer.step(id, model.parameters()[id], gradients[id], 1e-5);
    }
    update = std::min(update, seconds_since(update_start));
    if (pass_seconds >= pass) continue;
    pass = pass_seconds;
    forward.clear();
    backward.clear();
    for (gt::OperatorId id = 0; id < static_cast<gt::OperatorId>(graph.operators().size()); ++id) {
      const auto i = static_cast<std::size_t>(id);
      const std::string label = label_of(graph.op(id));
      forward[label].seconds += profile.of(i).forward;
      backward[label].seconds += profile.of(i).backward;
      forward[label].flops += static_cast<double>(gt::evaluate(cost.forward(graph, id), workload));
    }
    for (const auto& step : schedule.plan.steps) {
      for (int p = 0; p < static_cast<int>(graph.op(step.op).op->parts().size()); ++p) {
        if ((step.parts & gt::bit(p)) != 0)
          backward[label_of(graph.op(step.op))].flops +=
              static_cast<double>(gt::evaluate(cost.part(graph, step.op, p), workload));
      }
    }
  }
  const gt::MemoryEstimate memory = gt::training_memory(graph, selection, workload, sizeof(float), 2 * sizeof(float));
  std::cout << '\n'
            << name << ": " << selection.count() << " of " << graph.parameters().size() << " tensors, " << std::fixed
            << std::setprecision(1) << flops / 1e9 << " GFLOP in " << std::setprecision(3) << pass << " s + optimizer "
            << update << " s = " << std::setprecision(1) << flops / 1e9 / (pass + update) << " GFLOP/s, "
            << 100 * flops / 1e9 / (pass + update) / peak << "% of peak (forward and backward alone "
            << 100 * flops / 1e9 / pass / peak << "%)\n"
            << "planned memory " << static_cast<double>(memory.total()) / 1e6 << " MB: weights "
            << static_cast<double>(memory.weights) / 1e6 << ", gradients "
            << static_cast<double>(memory.gradients) / 1e6 << ", optimizer "
            << static_cast<double>(memory.optimizer) / 1e6 << ", activations "
            << static_cast<double>(memory.activations) / 1e6 << ", workspace "
            << static_cast<double>(memory.workspace) / 1e6 << '\n'
            << std::left << std::setw(26) << "  operator" << std::right << std::setw(12) << "share of s"
            << std::setw(13) << "share FLOPs" << std::setw(12) << "GFLOP/s" << '\n';
  const auto row = [&](const std::string& label, const char* direction, const Work& work) {
    if (work.seconds < 1e-4 * pass) return;
    std::cout << "  " << std::left << std::setw(22) << label << std::setw(2) << direction << std::right << std::setw(11)
              << 100 * work.seconds / pass << '%' << std::setw(12) << 100 * work.flops / flops << '%' << std::setw(12)
              << work.flops / work.seconds / 1e9 << '\n';
  };
  for (const auto& [label, work] : forward) row(label, "f", work);
  for (const auto& [label, work] : backward) row(label, "b", work);
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, double fallback) { return argc > i ? std::atof(argv[i]) : fallback; };
  const auto sequences = static_cast<gt::Extent>(argument(1, 4)), tokens = static_cast<gt::Extent>(argument(2, 512));
  const double rho = argument(3, 0.5);

  gt::Opt opt;  // the sizes of facebook/opt-125m
  opt.vocab_size = 50272;
  opt.hidden_size = opt.word_embed_proj_dim = 768;
  opt.ffn_dim = 3072;
  opt.num_hidden_layers = static_cast<gt::Extent>(argument(4, 12));
  opt.num_attention_heads = 12;
  opt.max_position_embeddings = 2048;

  const bool rounds = argc > 5 && std::string(argv[5]) == "bfloat16";
  Backend backend(0, rounds ? gt::ProductPrecision::bf16 : gt::ProductPrecision::full);
  gt::Model<Backend> model(backend, opt.graph<Backend>(), gt::facts_of(opt));
  std::vector<double> importance;
  gt::CounterRandom random(3, "weights");
  for (gt::ParameterId id = 0; id < static_cast<gt::ParameterId>(model.graph().parameters().size()); ++id) {
    const auto& p = model.graph().parameter(id);
    std::vector<float> values(static_cast<std::size_t>(p.size()));
    for (float& v : values) v = static_cast<float>(0.04 * (random.uniform() - 0.5));
    model.parameters()[id].upload(values);
    importance.push_back(static_cast<double>(p.size()) * random.uniform());
  }
  const gt::Batch batch = gt::benchmarks::random_batch(sequences, tokens, tokens - 1, opt.vocab_size);
  const double peak = gt::measure_peak_gflops(backend.threads());
  std::cout << backend.name() << ", measured peak " << std::fixed << std::setprecision(1) << peak << " GFLOP/s, batch "
            << sequences << " x " << tokens << '\n';
  measure(model, batch, gt::select_all(model.graph()), "full", peak);
  const auto chosen =
      gt::select_within_ratio(model.graph(), gt::ExactCost<Backend>{}, gt::workload_of(batch), importance, rho);
  measure(model, batch, chosen.selection, gt::text("rho ", rho, " (spent ", chosen.ratio(), ", random importances)"),
          peak);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::cout << "\nmeasured peak memory of the process " << static_cast<double>(usage.ru_maxrss) / 1e3 << " MB\n";
  return 0;
}
