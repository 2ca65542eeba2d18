// Time and memory of the selectors on gradient DAGs as models have them, one line a case. Then, for each config.json
// that is given, how often the exact selector proves its selection on the model's own graph.
//   build/native/bin/selector_benchmark [CONFIG_FOLDER...]
// Run it alone on a quiet machine.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "../tests/select/gradient_dags.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/select/budgeted_selection.hpp"
#include "greentrainer/select/chain_problem.hpp"
#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "greentrainer/select/paper_selector.hpp"
#include "greentrainer/select/worth_of_blocks.hpp"
#include "model_shapes.hpp"

namespace {

std::size_t live_bytes = 0;  // single-threaded program
std::size_t peak_bytes = 0;
constexpr std::size_t header = alignof(std::max_align_t);

}  // namespace

// Out of line, or the compiler sees through one half of a pair and warns that the halves do not match.
[[gnu::noinline]] void* operator new(std::size_t size) {
  void* block = std::malloc(size + header);
  if (block == nullptr) throw std::bad_alloc();
  *static_cast<std::size_t*>(block) = size;
  live_bytes += size;
  peak_bytes = std::max(peak_bytes, live_bytes);
  return static_cast<char*>(block) + header;
}
[[gnu::noinline]] void operator delete(void* pointer) noexcept {
  if (pointer == nullptr) return;
  void* block = static_cast<char*>(pointer) - header;
  live_bytes -= *static_cast<std::size_t*>(block);
  std::free(block);
}
[[gnu::noinline]] void operator delete(void* pointer, std::size_t) noexcept { operator delete(pointer); }

namespace {

namespace gt = greentrainer;

template <class Run>
void report(const std::string& name, std::size_t items, std::size_t nodes, double budget, Run run) {
  double best = std::numeric_limits<double>::infinity();
  double importance = 0;
  double cost = 0;
  double bound = 0;
  bool optimal = false;
  const std::size_t before = live_bytes;
  peak_bytes = live_bytes;
  for (int repetition = 0; repetition < 5; ++repetition) {
    const std::clock_t start = std::clock();  // processor time: other programs on the machine add little to it
    const auto result = run();
    best = std::min(best, 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    importance = result.importance;
    cost = static_cast<double>(result.cost);
    bound = result.bound;
    optimal = result.optimal;
  }
  std::printf("%-44s %6zu %6zu %9.2f %9.2f %12.7g %8.3f  %7.3f  %s\n", name.c_str(), items, nodes, best,
              static_cast<double>(peak_bytes - before) / 1048576.0, importance, 100 * cost / budget,
              100 * (bound / importance - 1), optimal ? "yes" : "no");
}

/// The same problem with each worth of its blocks.
void run_worths(const std::string& title, gt::SelectionProblem problem) {
  for (std::size_t w = 0; w < gt::worth_names.size(); ++w) {
    problem.dag.worth = {.form = static_cast<gt::Worth::Form>(w), .scale = gt::usual_worth_scale(problem.dag)};
    report(title + ", " + gt::worth_names[w], problem.dag.items.size(), problem.dag.nodes.size(),
           static_cast<double>(problem.budget), [&] { return gt::ExactSelector{}.select(problem); });
  }
}

void run_chain(double rho) {
  // OPT-2.7B's tensors in checkpoint order, by the paper's cost rules: weights and biases alternate.
  gt::ChainProblem chain;
  std::mt19937 random(7);
  double total = 0;
  for (int k = 0; k < 516; ++k) {
    const bool bias = k % 2 == 1;
    const double weight = bias ? 2048.0 * 2560 : 2048.0 * 2560 * 2560 * ((k / 2) % 4 == 0 ? 4 : 1);
    chain.grad_input.push_back(bias ? 0 : weight);
    chain.grad_weight.push_back(weight);
    chain.importance.push_back(std::lognormal_distribution<double>(0, 1.5)(random));
    total += chain.grad_input.back() + weight;
  }
  chain.budget = rho * total;
  const std::string name = "chain, rho " + std::to_string(rho).substr(0, 4);
  gt::SelectionProblem blocks = gt::to_selection_problem(chain);
  for (int k = 0; k < 512; ++k)
    blocks.dag.items[static_cast<std::size_t>(k)].block = k / 16;  // the rest: by themselves
  run_worths(name, blocks);
  report(name + ", exact", 516, 516, chain.budget, [&] { return gt::select_on_chain(gt::ExactSelector{}, chain); });
  for (const std::int64_t steps : {10000, 100000}) {
    report(name + ", cut off, " + std::to_string(steps) + " steps", 516, 516, chain.budget,
           [&] { return gt::select_on_chain(gt::ExactSelector{.max_pairs = 0, .budget_steps = steps}, chain); });
  }
  report(name + ", paper", 516, 516, chain.budget, [&] { return gt::PaperSelector{}.select(chain); });
  report(name + ", importance per FLOP", 516, 516, chain.budget,
         [&] { return gt::select_on_chain(gt::ImportancePerFlopSelector{}, chain); });
}

void run_dag(const std::string& name, const gt::GradientDag& dag, double rho) {
  gt::SelectionProblem problem;
  problem.dag = dag;
  problem.budget = static_cast<std::int64_t>(rho * static_cast<double>(gt::testing::total_cost(dag)));
  const std::string title = name + ", rho " + std::to_string(rho).substr(0, 4);
  const double budget = static_cast<double>(problem.budget);
  report(title + ", exact", dag.items.size(), dag.nodes.size(), budget,
         [&] { return gt::ExactSelector{}.select(problem); });
  report(title + ", cut off", dag.items.size(), dag.nodes.size(), budget,
         [&] { return gt::ExactSelector{.max_pairs = 0}.select(problem); });
  report(title + ", per FLOP", dag.items.size(), dag.nodes.size(), budget,
         [&] { return gt::ImportancePerFlopSelector{}.select(problem); });
  run_worths(title, problem);
}

struct Costs {};  // the operators' own, which are those of the Eigen backend

/// Importances by the size of a tensor and a normal random number.
struct ImportanceKind {
  const char* name;
  double (*of)(double size, double normal);
};
constexpr ImportanceKind importance_kinds[] = {
    {"log-normal (1.5)", [](double, double normal) { return std::exp(1.5 * normal); }},
    {"size x log-normal (0.3)", [](double size, double normal) { return size * std::exp(0.3 * normal); }},
    {"root of size", [](double size, double) { return std::sqrt(size); }},
    {"size", [](double size, double) { return size; }}};

/// How often selections of the model's graph are proved, over budgets and draws, and the seconds that they take.
template <class Architecture>
void report_proofs(const std::string& name, const Architecture& architecture) {
  constexpr std::uint64_t draws = 10;
  const auto graph = architecture.template graph<Costs>();
  const gt::Workload workload = gt::workload_for(architecture, {.sequences = 4, .tokens = 256, .labelled = 32}) * 996;
  for (const ImportanceKind& kind : importance_kinds) {
    int proved = 0, problems = 0;
    double gap = 0;
    std::vector<double> milliseconds;
    for (const double rho : {0.4, 0.5, 0.6, 0.75, 0.9}) {
      for (std::uint64_t draw = 0; draw < draws; ++draw) {
        gt::CounterRandom random(draw, "importance");
        std::vector<double> importance;
        for (const gt::Parameter& p : graph.parameters())
          importance.push_back(kind.of(static_cast<double>(p.size()), random.normal()));
        const auto select = [&](const gt::SelectionProblem& problem) {
          const auto start = std::chrono::steady_clock::now();
          const gt::SelectionResult result = gt::ExactSelector{}.select(problem);
          milliseconds.push_back(
              std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
          ++problems;
          proved += result.optimal ? 1 : 0;
          gap = std::max(gap, result.bound / result.importance - 1);
          return result;
        };
        try {
          gt::select_within_ratio(graph, gt::ExactCost<Costs>{}, workload, importance, rho, select);
        } catch (const gt::InfeasibleRatio&) {  // T5 at 0.4, say: no problem
        }
      }
    }
    std::sort(milliseconds.begin(), milliseconds.end());
    if (milliseconds.empty()) continue;
    std::printf("%-14s %-24s %4zu %6zu %4d of %d %9.3f %9.1f %9.1f\n", name.c_str(), kind.name,
                graph.parameters().size(), graph.operators().size(), proved, problems, 100 * gap,
                milliseconds[milliseconds.size() / 2], milliseconds.back());
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::printf("%-44s %6s %6s %9s %9s %12s %8s  %7s  %s\n", "case", "items", "nodes", "ms", "peak MiB", "importance",
              "spent %", "bound +%", "optimal");
  for (const double rho : {0.25, 0.5, 0.75}) run_chain(rho);
  struct Size {
    const char* name;
    int layers;
    double width;
  };
  for (const Size& size :
       {Size{"12-layer decoder", 12, 768}, Size{"24-layer decoder", 24, 2048}, Size{"32-layer decoder", 32, 2560}}) {
    for (const double rho : {0.25, 0.5, 0.75}) {
      gt::testing::RealDagBuilder builder(1);
      gt::testing::add_decoder(builder, {.model = size.width, .feed_forward = 4 * size.width}, size.layers,
                               gt::testing::NormStyle::pre);
      run_dag(size.name, builder.dag, rho);
    }
  }
  for (const double rho : {0.25, 0.5, 0.75}) {
    gt::testing::RealDagBuilder builder(1);
    gt::testing::add_encoder_decoder(builder, {.model = 2048, .feed_forward = 5120}, 24, 24,
                                     gt::testing::NormStyle::pre, true);
    run_dag("24+24 encoder-decoder", builder.dag, rho);
  }
  for (const double rho : {0.25, 0.5, 0.75}) {  // everything is worth nearly the same for its price: the hardest
    gt::testing::RealDagBuilder builder(1);
    gt::testing::add_decoder(builder, {.model = 2560, .feed_forward = 10240}, 32, gt::testing::NormStyle::pre);
    gt::SelectionProblem problem{
        .dag = builder.dag,
        .budget = static_cast<std::int64_t>(rho * static_cast<double>(gt::testing::total_cost(builder.dag)))};
    for (auto& item : problem.dag.items) item.importance = static_cast<double>(item.cost) / 1e9;
    run_worths("32 layers, by size, rho " + std::to_string(rho).substr(0, 4), problem);
  }
  if (argc < 2) return 0;
  std::printf("\n%-14s %-24s %4s %6s %10s %9s %9s %9s\n", "model", "importance", "items", "ops", "proved", "bound +%",
              "median ms", "most ms");
  gt::for_each_model({argv + 1, argv + argc},
                     [](const std::string& name, const auto& architecture) { report_proofs(name, architecture); });
}
