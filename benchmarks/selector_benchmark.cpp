// Time and memory of the selectors on gradient DAGs as models have them. Prints one line a case; run it alone on a
// quiet machine.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>
#include <random>
#include <string>

#include "../tests/select/gradient_dags.hpp"
#include "greentrainer/select/chain_problem.hpp"
#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "greentrainer/select/paper_selector.hpp"

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
  bool optimal = false;
  const std::size_t before = live_bytes;
  peak_bytes = live_bytes;
  for (int repetition = 0; repetition < 5; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    const auto result = run();
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    importance = result.importance;
    cost = static_cast<double>(result.cost);
    optimal = result.optimal;
  }
  std::printf("%-44s %6zu %6zu %9.2f %9.2f %12.5g %8.3f  %s\n", name.c_str(), items, nodes, best,
              static_cast<double>(peak_bytes - before) / 1048576.0, importance, 100 * cost / budget,
              optimal ? "yes" : "no");
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
  report(name + ", exact, 10000 steps", 516, 516, chain.budget,
         [&] { return gt::select_on_chain(gt::ExactSelector{.budget_steps = 10000}, chain); });
  report(name + ", exact, 100000 steps", 516, 516, chain.budget,
         [&] { return gt::select_on_chain(gt::ExactSelector{.budget_steps = 100000}, chain); });
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
  report(title + ", exact x10", dag.items.size(), dag.nodes.size(), budget,
         [&] { return gt::ExactSelector{.budget_steps = 100000}.select(problem); });
  report(title + ", per FLOP", dag.items.size(), dag.nodes.size(), budget,
         [&] { return gt::ImportancePerFlopSelector{}.select(problem); });
}

}  // namespace

int main() {
  std::printf("%-44s %6s %6s %9s %9s %12s %8s  %s\n", "case", "items", "nodes", "ms", "peak MiB", "importance",
              "spent %", "optimal");
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
}
