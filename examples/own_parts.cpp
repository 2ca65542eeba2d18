// Five parts of one's own: what a tensor is worth, how tensors are chosen, what they cost, how weights move, and the
// training loop.
//   own_parts MODEL TRAIN.jsonl
#include <algorithm>
#include <array>
#include <cmath>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/greentrainer.hpp>
#include <greentrainer/select/gradient_dag.hpp>
#include <iostream>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace gt = greentrainer;

namespace {

/// What a tensor is worth: how long its gradient is, compared with its weights.
template <gt::Backend B>
class RelativeGradient final : public gt::Importance<B> {
 public:
  std::vector<double> evaluate(gt::ImportanceContext<B>& c) const override {
    const std::size_t count = c.graph.parameters().size();
    gt::ParameterSums<B> of_gradients(c.backend, count), of_weights(c.backend, count);
    gt::TransientGradients<B> sink(c.backend, c.graph, [&](gt::ParameterId id, auto gradient) {
      c.backend.sum_of_squares(gradient.size(), gradient.data, of_gradients.of(id));
      c.backend.sum_of_squares(gradient.size(), c.parameters[id].data(), of_weights.of(id));
    });
    const gt::Schedule everything = c.full_schedule();
    for (const gt::Batch& batch : c.batches) {
      c.executor.run(everything, batch,
                     {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &sink});
    }
    std::vector<double> worth = of_gradients.download();
    const std::vector<double> weights = of_weights.download();
    for (std::size_t i = 0; i < count; ++i) worth[i] = std::sqrt(worth[i] / (weights[i] + 1e-12));
    return worth;
  }
  // The budget and the report count it.
  gt::Flops flops(const gt::TensorGraph<B>& graph, const gt::Workload& workload,
                  const gt::Optimizer<B>&) const override {
    return gt::full_pass_flops(graph, workload) + 4 * workload[gt::Measure::steps] * gt::parameter_elements(graph);
  }
  int full_passes() const override { return 1; }
};

/// How tensors are chosen: the most important first, as long as they fit with all the gradients they need.
struct MostImportantFirst {
  gt::SelectionResult select(const gt::SelectionProblem& problem) const {
    const auto& items = problem.dag.items;
    std::vector<std::size_t> order(items.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return items[a].importance > items[b].importance; });
    std::vector<bool> mask(items.size(), false);
    for (const std::size_t i : order) {
      if (items[i].importance <= 0) break;
      if (items[i].frozen) continue;  // GreenOptions::freeze
      mask[i] = true;
      mask[i] = gt::cost_of(problem.dag, mask) <= problem.budget;
    }
    return gt::make_result(problem.dag, mask);
  }
};

/// What tensors cost: elements that are read and written, instead of FLOPs.
struct MemoryTraffic {
  static constexpr std::string_view unit() { return "elements"; }

  template <class P>
  gt::LinearCost forward(const gt::TensorGraph<P>& graph, gt::OperatorId id) const {
    const auto& node = graph.op(id);
    gt::LinearCost cost;
    for (const gt::ValueId v : node.inputs) cost += of_value(graph, v);
    for (const gt::ValueId v : node.outputs) cost += of_value(graph, v);
    for (const gt::ParameterId p : node.parameters) cost += per(gt::Measure::steps, graph.parameter(p).size());
    return cost;
  }
  /// The same for each part of the backward pass: it reads about what the forward pass does, and writes a gradient.
  template <class P>
  gt::LinearCost part(const gt::TensorGraph<P>& graph, gt::OperatorId id, int part) const {
    return graph.op(id).op->parts()[static_cast<std::size_t>(part)].passes ? gt::LinearCost{} : forward(graph, id);
  }

 private:
  template <class P>
  static gt::LinearCost of_value(const gt::TensorGraph<P>& graph, gt::ValueId v) {
    const gt::ValueShape& shape = graph.value(v).shape;
    return gt::per(shape.rows, shape.cols);
  }
};

/// How weights move: by the sign of a running mean of gradients (signSGD with momentum, Bernstein et al. 2018).
template <class T>
struct SignRule {
  static constexpr std::array<std::string_view, 1> state = {"mean"};
  static constexpr gt::Flops flops = 4;

  T learning_rate, kept, rest;

  template <class V>
  constexpr void operator()(V& p, const V& g, V& mean) const {
    mean = mean * kept + g * rest;
    p = p - gt::with_sign_of(mean, learning_rate);
  }
};

struct SignOptions {
  double learning_rate = 1e-4, momentum = 0.9, weight_decay = 0;
  gt::Selection undecayed = {};
  gt::RateFactor rate_factor = {};

  template <class T>
  void with_rule(const gt::UpdateScalars& s, const auto& use) const {
    use(SignRule<T>{static_cast<T>(s.learning_rate), static_cast<T>(momentum), static_cast<T>(1 - momentum)});
  }
  std::string text_of_options() const { return gt::text("sign (", learning_rate, ", ", momentum, ')'); }
};
void check_options(const SignOptions& o) {
  gt::check_common_options("Sign", o);
  gt::expect_option(o.weight_decay == 0, "Sign", "weight_decay", "0", o.weight_decay);
}

}  // namespace

int main(int, char** argv) {
  using Backend = gt::EigenBackend<float>;
  Backend backend;
  auto model = gt::load_pretrained(argv[1], backend);
  auto data = gt::load_jsonl(argv[2], model);

  gt::Trainer<Backend> trainer(model, gt::GreenOptions{.flops_ratio = 0.5}, SignOptions{.learning_rate = 1e-4});
  trainer.use_importance(std::make_unique<RelativeGradient<Backend>>());
  trainer.use_selector(MostImportantFirst{});
  trainer.use_cost_model(MemoryTraffic{});

  // The training loop: what Trainer::fit does, with an end of its own.
  double smoothed = 10;
  const auto follow = [&](const gt::StepRecord& step) {
    smoothed = 0.9 * smoothed + 0.1 * step.loss;
    if (step.step % 10 == 0) std::cout << "step " << step.step << ", loss " << smoothed << '\n';
  };
  trainer.start(data.examples, {.epochs = 2, .batch_size = 4, .on_step = follow});
  while (smoothed > 2 && trainer.step()) {
  }
  std::cout << trainer.finish();
}
