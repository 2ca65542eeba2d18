// A network of one's own on rows of numbers: built, trained selectively, saved and loaded.
//   regression WEIGHTS.safetensors
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/core/random.hpp>
#include <greentrainer/greentrainer.hpp>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace gt = greentrainer;
using Backend = gt::EigenBackend<float>;

namespace {

constexpr gt::Extent features = 8, hidden = 64, layers = 3;

gt::TensorGraph<Backend> network() {
  gt::TensorGraph<Backend> graph;
  for (gt::Extent i = 0; i < layers; ++i) {
    graph.parameter(gt::text("hidden", i, ".weight"), {hidden, i == 0 ? features : hidden});
    graph.parameter(gt::text("hidden", i, ".bias"), {hidden});
  }
  graph.parameter("output.weight", {1, hidden});
  graph.parameter("output.bias", {1});
  gt::BlockBuilder<Backend> b(graph);
  gt::ValueId x = b.dense_input("features", features);
  for (gt::Extent i = 0; i < layers; ++i)
    x = b.activate(gt::text("relu", i), b.linear(gt::text("hidden", i), x), gt::Activation::relu);
  b.squared_error("loss", b.linear("output", b.gather_labelled("labelled_rows", x)));
  b.finish();
  return graph;
}

/// Eight numbers from -1 to 1, and the sum of the products of neighbours.
std::vector<gt::Example> rows(std::uint64_t seed, int count) {
  gt::CounterRandom random(seed, "rows");
  std::vector<gt::Example> examples;
  for (int i = 0; i < count; ++i) {
    std::vector<float> x;
    for (gt::Extent f = 0; f < features; ++f) x.push_back(static_cast<float>(2 * random.uniform() - 1));
    float sum = 0;
    for (std::size_t f = 0; f + 1 < x.size(); ++f) sum += x[f] * x[f + 1];
    examples.push_back(gt::regression_example(std::move(x), {sum}));
  }
  return examples;
}

/// What a selection trains, and the parts of each operator's gradient that this takes.
void print(const gt::TensorGraph<Backend>& graph, const gt::SelectionRecord& record) {
  std::cout << "after step " << record.step << ", for " << record.cost << " of " << record.budget << " FLOPs:";
  for (const std::string& name : record.names) std::cout << ' ' << name;
  std::cout << '\n';
  for (const auto& step : gt::training_plan(graph, gt::select_listed(graph, record.names)).steps) {
    if (!step.is_backward()) continue;
    std::cout << "  " << graph.op(step.op).name << ':';
    const auto& parts = graph.op(step.op).op->parts();
    for (std::size_t p = 0; p < parts.size(); ++p)
      if (((step.parts >> p) & 1U) != 0) std::cout << ' ' << parts[p].name;
    std::cout << '\n';
  }
}

}  // namespace

int main(int, char** argv) {
  Backend backend;
  auto model = gt::make_model(backend, network(), 1);
  const gt::GreenOptions green{.flops_ratio = 0.7,
                               .importance = "gradient-norm",
                               .reselect_every = {10, gt::Interval::Unit::epochs},
                               .freeze = {"hidden0.*"}};
  gt::Trainer<Backend> trainer(model, green, gt::AdamWOptions{.learning_rate = 3e-3});
  const auto examples = rows(1, 512);
  const auto show = [&](const gt::SelectionRecord& record) { print(model.graph(), record); };
  std::cout << trainer.fit(examples, {.epochs = 30, .batch_size = 32, .on_selection = show});
  gt::save_weights(model, argv[1]);

  auto loaded = gt::make_model(backend, network(), 2);
  gt::load_weights(loaded, argv[1]);
  auto untrained = gt::make_model(backend, network(), 2);
  const auto held_out = rows(2, 128);
  const double before = gt::evaluate<Backend>(untrained, held_out).loss;
  const double after = gt::evaluate<Backend>(loaded, held_out).loss;
  std::cout << "mean squared error on other rows: " << before << " untrained, " << after << " trained\n";
  return after < 0.5 * before ? 0 : 1;
}
