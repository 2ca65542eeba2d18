// Networks on rows of numbers and on means of rows: what CUDA computes for any selection is what the CPU computes.

#include <cmath>
#include <numeric>
#include <vector>

#include <doctest/doctest.h>

#include "backends/backend_list.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/models/classifier.hpp"
#include "greentrainer/models/hand_built.hpp"
#include "support/dense_graphs.hpp"
#include "support/tiny_models.hpp"

namespace greentrainer::testing {
namespace {

using Cuda = FirstDevice<double>;
using Cpu = EigenBackend<double>;

struct Computed {
  double loss = 0;
  std::vector<double> outputs;
  std::vector<std::vector<double>> gradients;  ///< of what is selected
};

template <class B>
Computed compute(B& backend, TensorGraph<B> graph, const Batch& batch, std::uint64_t seed) {
  Model<B> model = make_model(backend, std::move(graph), 3);
  CounterRandom random(seed, "selection");
  Selection selection = select_where(model.graph(), [&](const Parameter&) { return random.below(2) == 0; });
  selection.insert(0);
  GradientStore<B> gradients(backend);
  gradients.select(model.graph(), selection);
  gradients.zero();
  Computed result;
  result.loss =
      model.executor().run(make_schedule(model.graph(), selection), batch,
                           {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &gradients});
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id)
    if (selection.contains(id)) result.gradients.push_back(gradients[id].download());
  result.outputs = model.outputs(batch);
  return result;
}

void expect_near(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) < 1e-12 * (1 + std::abs(b[i])));
}

/// `graph(backend)` makes the graph for a backend.
template <class MakeGraph>
void compare(const std::vector<Example>& examples, const MakeGraph& graph) {
  std::vector<std::size_t> all(examples.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  const Batch batch = collate(examples, all);
  Cuda cuda;
  Cpu cpu(1);
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    CAPTURE(seed);
    const Computed actual = compute(cuda, graph(cuda), batch, seed);
    const Computed expected = compute(cpu, graph(cpu), batch, seed);
    expect_near({actual.loss}, {expected.loss});
    expect_near(actual.outputs, expected.outputs);
    REQUIRE(actual.gradients.size() == expected.gradients.size());
    for (std::size_t i = 0; i < actual.gradients.size(); ++i) expect_near(actual.gradients[i], expected.gradients[i]);
  }
}

}  // namespace

TEST_CASE("A network on dense rows has the CPU's predictions, losses and gradients") {
  compare(regression_rows(13, 5, 3), []<class B>(B&) { return regression_graph<B>(5, 16, 3); });
}

TEST_CASE("Means of a decoder's and of an encoder's rows have the CPU's logits, losses and gradients") {
  compare(class_sequences(6, 20, 3, false), []<class B>(B&) { return two_means_graph<B>(20, 8, 3); });
  compare(class_sequences(4, 20, 3, true), []<class B>(B&) {
    return with_class_head(encoder_decoder_graph<B>(20, 8, 2),
                           {.classes = 3, .pooling = Pooling::mean, .at = "encoder.final.norm"});
  });
}

}  // namespace greentrainer::testing
