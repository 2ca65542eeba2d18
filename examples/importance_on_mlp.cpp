// Is the paper's importance what it claims to be? On a small multi-layer perceptron every tensor's update is really
// undone, one at a time, and the loss increase is compared with the metric's first-order estimate: the error falls
// linearly with the learning rate.

#include <algorithm>
#include <cmath>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/blocks/block_builder.hpp>
#include <greentrainer/core/random.hpp>
#include <greentrainer/importance/loss_increase.hpp>
#include <greentrainer/models/model.hpp>
#include <greentrainer/optim/adamw.hpp>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <string>
#include <vector>

namespace gt = greentrainer;
using Backend = gt::EigenBackend<double>;

namespace {

constexpr gt::Extent classes = 16, width = 32, hidden = 64, layers = 4;

/// An embedding as input features, hidden layers with GELU (a kink would break the linear fall where it is crossed),
/// and a softmax over the classes.
gt::TensorGraph<Backend> perceptron() {
  gt::TensorGraph<Backend> graph;
  graph.parameter("input.weight", {classes, width});
  for (gt::Extent i = 0; i < layers; ++i) {
    graph.parameter(gt::text("layer", i, ".weight"), {hidden, i == 0 ? width : hidden});
    graph.parameter(gt::text("layer", i, ".bias"), {hidden});
  }
  graph.parameter("output.weight", {classes, hidden});
  gt::BlockBuilder<Backend> b(graph);
  gt::ValueId x = b.embedding("input", {.rows = gt::Rows::decoder_tokens});
  for (gt::Extent i = 0; i < layers; ++i)
    x = b.activate(gt::text("gelu", i), b.linear(gt::text("layer", i), x), gt::Activation::gelu);
  b.cross_entropy_head("output", b.gather_labelled("rows", x), "output.weight");
  graph.finish();
  return graph;
}

/// Inputs of each class with a label that depends on it, a quarter of them wrong.
gt::Batch samples() {
  gt::CounterRandom random(1, "samples");
  gt::Batch batch;
  for (gt::Index i = 0; i < 256; ++i) {
    const auto input = static_cast<gt::Index>(random.below(classes));
    const bool wrong = random.below(4) == 0;
    batch.decoder.ids.push_back(input);
    batch.decoder.positions.push_back(0);
    batch.decoder.offsets.push_back(i + 1);
    batch.label_rows.push_back(i);
    batch.labels.push_back(
        static_cast<gt::Index>(wrong ? random.below(classes) : (5 * static_cast<std::uint32_t>(input) + 3) % classes));
  }
  return batch;
}

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (std::size_t r = 0; r < order.size(); ++r) result[order[r]] = static_cast<double>(r);
  return result;
}

/// Spearman's rank correlation of values without ties.
double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const auto ra = ranks(a), rb = ranks(b);
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) squares += (ra[i] - rb[i]) * (ra[i] - rb[i]);
  const auto n = static_cast<double>(a.size());
  return 1 - 6 * squares / (n * (n * n - 1));
}

struct Comparison {
  double worst_error = 0;  ///< over the tensors, as a share of the largest loss increase
  double correlation = 0;
};

Comparison compare(gt::Model<Backend>& model, const gt::Batch& batch, double learning_rate) {
  auto& backend = model.backend();
  auto& weights = model.parameters();
  const auto count = static_cast<gt::ParameterId>(weights.size());
  gt::AdamW<Backend> optimizer(backend, {.learning_rate = learning_rate});
  const std::vector<gt::Batch> batches = {batch};
  gt::ImportanceContext<Backend> context{backend, model.graph(), weights, model.executor(), optimizer, batches};
  const std::vector<double> estimate = gt::LossIncreaseImportance<Backend>().evaluate(context);

  // The update itself, kept; then each tensor set back on its own.
  std::vector<std::vector<double>> before, after;
  for (gt::ParameterId id = 0; id < count; ++id) before.push_back(weights[id].download());
  gt::TransientGradients<Backend> update(backend, model.graph(), [&](gt::ParameterId id, gt::Matrix<double> gradient) {
    optimizer.candidate(id, weights[id].matrix(), gradient, learning_rate);
  });
  const double scale = 1.0 / static_cast<double>(batch.labelled());
  model.executor().run(gt::make_schedule(model.graph(), gt::select_all(model.graph())), batch,
                       {.gradient_scale = scale, .gradients = &update});
  for (gt::ParameterId id = 0; id < count; ++id) after.push_back(weights[id].download());

  const gt::Schedule forward = gt::make_schedule(model.graph(), gt::select_none(model.graph()));
  const double loss = scale * model.executor().run(forward, batch);
  std::vector<double> increase;
  for (gt::ParameterId id = 0; id < count; ++id) {
    const auto i = static_cast<std::size_t>(id);
    weights[id].upload(before[i]);
    increase.push_back(scale * model.executor().run(forward, batch) - loss);
    weights[id].upload(after[i]);
  }
  for (gt::ParameterId id = 0; id < count; ++id) weights[id].upload(before[static_cast<std::size_t>(id)]);

  Comparison result{.worst_error = 0, .correlation = rank_correlation(estimate, increase)};
  const double largest = *std::max_element(increase.begin(), increase.end());
  for (std::size_t i = 0; i < increase.size(); ++i)
    result.worst_error = std::max(result.worst_error, std::abs(increase[i] - estimate[i]) / largest);
  return result;
}

}  // namespace

int main() {
  Backend backend;
  gt::Model<Backend> model(
      backend, perceptron(),
      {.model_type = "perceptron", .vocabulary = classes, .max_positions = 1, .layer_prefixes = {}});
  for (gt::ParameterId id = 0; id < static_cast<gt::ParameterId>(model.graph().parameters().size()); ++id) {
    const auto& p = model.graph().parameter(id);
    gt::CounterRandom random(2, "weights", static_cast<std::uint64_t>(id));
    std::vector<double> values(static_cast<std::size_t>(p.size()));
    for (double& v : values)
      v = random.normal() * (p.shape.size() == 1 ? 0.05 : std::sqrt(2.0 / static_cast<double>(p.cols())));
    model.parameters()[id].upload(values);
  }
  const gt::Batch batch = samples();
  std::cout << "learning rate   worst error / largest increase   rank correlation\n";
  double previous = 0;
  bool linear = true, ranked = false;
  for (const double learning_rate : {1e-2, 1e-3, 1e-4, 1e-5, 1e-6}) {
    const Comparison c = compare(model, batch, learning_rate);
    std::cout << std::scientific << std::setprecision(0) << std::setw(13) << learning_rate << std::setprecision(3)
              << std::setw(33) << c.worst_error << std::fixed << std::setw(19) << c.correlation << '\n';
    if (learning_rate < 5e-4) linear = linear && c.worst_error < 0.2 * previous;
    if (learning_rate == 1e-3) ranked = c.correlation >= 0.95;
    previous = c.worst_error;
  }
  std::cout << "error falls linearly with the learning rate: " << (linear ? "yes" : "no")
            << "; rank correlation at 1e-3 at least 0.95: " << (ranked ? "yes" : "no") << '\n';
  return linear && ranked ? 0 : 1;
}
