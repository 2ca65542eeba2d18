// Graphs on numbers and on means of rows: gradients against PyTorch and central differences, and for any selection
// gradients, FLOPs and kept bytes exactly as planned.

#include "support/dense_graphs.hpp"

#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "executor/pass_fixture.hpp"
#include "greentrainer/backends/reference.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/models/classifier.hpp"
#include "greentrainer/models/hand_built.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

using Double = EigenBackend<double>;

Batch batch_of(const std::vector<Example>& examples) {
  std::vector<std::size_t> all(examples.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  return collate(examples, all);
}

/// Gradients of the mean loss, by parameter.
template <class B>
std::vector<std::vector<double>> gradients_of(Model<B>& model, const Batch& batch) {
  GradientStore<B> gradients(model.backend());
  gradients.select(model.graph(), select_all(model.graph()));
  gradients.zero();
  model.executor().run(make_schedule(model.graph(), select_all(model.graph())), batch,
                       {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &gradients});
  std::vector<std::vector<double>> all;
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id)
    all.push_back(gradients[id].download());
  return all;
}
double loss_of(Model<Double>& model, const Batch& batch) {
  return model.executor().run(make_schedule(model.graph(), select_none(model.graph())), batch) /
         static_cast<double>(batch.labelled());
}

void compare_with_golden(const Json& golden, TensorGraph<Double> graph, const std::vector<Example>& examples) {
  Double backend(1);
  Model<Double> model = make_model(backend, std::move(graph), 3);
  for (const auto& [name, values] : golden.at("weights").items())
    model.parameters()[*model.graph().find(name)].upload(values.get<std::vector<double>>());
  const Batch batch = batch_of(examples);
  check_batch(model.facts(), batch);
  CHECK(loss_of(model, batch) == doctest::Approx(golden.at("loss").get<double>()).epsilon(1e-14));
  const auto gradients = gradients_of(model, batch);
  for (const auto& [name, values] : golden.at("gradients").items()) {
    CAPTURE(name);
    const auto theirs = values.get<std::vector<double>>();
    const auto& ours = gradients[static_cast<std::size_t>(*model.graph().find(name))];
    REQUIRE(ours.size() == theirs.size());
    for (std::size_t i = 0; i < ours.size(); ++i) CHECK(std::abs(ours[i] - theirs[i]) < 1e-14);
  }
}

std::vector<Fixture> dense_fixtures(Counting& backend) {
  std::vector<Fixture> all;
  const auto add = [&](TensorGraph<Counting> graph, const std::vector<Example>& examples) {
    ModelFacts facts = facts_of(graph, "dense");
    all.emplace_back(backend, std::move(graph), std::move(facts), batch_of(examples));
  };
  add(regression_graph<Counting>(5, 16, 3), regression_rows(13, 5, 3));
  add(dense_classes_graph<Counting>(5, 16, 4), dense_class_rows(11, 5, 4));
  add(with_class_head(encoder_decoder_graph<Counting>(50, 16, 4),
                      {.classes = 3, .pooling = Pooling::mean, .at = "encoder.final.norm"}),
      class_sequences(6, 50, 3, true));
  add(two_means_graph<Counting>(50, 8, 3), class_sequences(6, 50, 3, false));
  const auto config =
      ConfigReader::from_file(testing::source_folder() / "tests/golden/models/llama-gqa-tied/config.json");
  KnownArchitectures::read(config, [&](const auto& architecture) {
    for (const Pooling pooling : {Pooling::labelled_rows, Pooling::mean}) {
      add(with_class_head(architecture.template graph<Counting>(), {.classes = 3, .pooling = pooling}),
          class_sequences(6, 50, 3, false));
    }
    return 0;
  });
  return all;
}

}  // namespace

TEST_CASE("mean squared error on dense rows has PyTorch's loss and gradients") {
  const Json golden = read_json_file(testing::source_folder() / "tests/golden/dense.json").at("regression");
  std::vector<Example> examples;
  for (std::size_t i = 0; i < golden.at("features").size(); ++i) {
    examples.push_back(regression_example(golden.at("features")[i].get<std::vector<float>>(),
                                          golden.at("targets")[i].get<std::vector<float>>()));
  }
  TensorGraph<Double> graph;
  for (const auto& [name, shape] : std::vector<std::pair<const char*, ParameterShape>>{
           {"hidden.weight", {4, 3}}, {"hidden.bias", {4}}, {"output.weight", {2, 4}}, {"output.bias", {2}}})
    graph.parameter(name, shape);
  BlockBuilder<Double> b(graph);
  const ValueId hidden = b.activate("tanh", b.linear("hidden", b.dense_input("features", 3)), Activation::tanh);
  b.squared_error("loss", b.linear("output", b.gather_labelled("labelled_rows", hidden)));
  b.finish();
  compare_with_golden(golden, std::move(graph), examples);
}

TEST_CASE("a class of the mean of a sequence's rows has PyTorch's loss and gradients") {
  const Json golden = read_json_file(testing::source_folder() / "tests/golden/dense.json").at("classification");
  for (const bool encoder : {false, true}) {
    CAPTURE(encoder);
    std::vector<Example> examples;
    for (std::size_t i = 0; i < golden.at("ids").size(); ++i) {
      const auto ids = golden.at("ids")[i].get<std::vector<Index>>();
      const auto label = golden.at("labels")[i].get<Index>();
      examples.push_back(encoder ? encoder_class_example(ids, label) : class_example(ids, label));
    }
    TensorGraph<Double> graph;
    for (const auto& [name, shape] : std::vector<std::pair<const char*, ParameterShape>>{
             {"tokens.weight", {6, 4}}, {"hidden.weight", {4, 4}}, {"score.weight", {3, 4}}})
      graph.parameter(name, shape);
    BlockBuilder<Double> b(graph);
    const ValueId x = b.embedding("tokens", {.rows = encoder ? Rows::encoder_tokens : Rows::decoder_tokens});
    const ValueId hidden = b.activate("tanh", b.linear("hidden", x), Activation::tanh);
    b.cross_entropy_head("score", b.mean_rows("mean", hidden), "score.weight");
    b.finish();
    compare_with_golden(golden, std::move(graph), examples);
  }
}

TEST_CASE("gradients through dense rows, squared errors and means are those of central differences") {
  const auto check = [](TensorGraph<Double> graph, const std::vector<Example>& examples) {
    Double backend(1);
    Model<Double> model = make_model(backend, std::move(graph), 3);
    const Batch batch = batch_of(examples);
    const auto gradients = gradients_of(model, batch);
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      CAPTURE(model.graph().parameter(id).name);
      const auto start = model.parameters()[id].download();
      CounterRandom random(1, "direction", static_cast<std::uint64_t>(id));
      std::vector<double> along(start.size());
      for (double& v : along) v = random.normal();
      const auto moved = [&](double step) {
        auto values = start;
        for (std::size_t i = 0; i < values.size(); ++i) values[i] += step * along[i];
        model.parameters()[id].upload(values);
        const double loss = loss_of(model, batch);
        model.parameters()[id].upload(start);
        return loss;
      };
      double expected = 0;
      for (std::size_t i = 0; i < along.size(); ++i) expected += gradients[static_cast<std::size_t>(id)][i] * along[i];
      CHECK(std::abs(expected) > 1e-8);
      CHECK((moved(1e-5) - moved(-1e-5)) / 2e-5 == doctest::Approx(expected).epsilon(1e-6));
    }
  };
  check(regression_graph<Double>(5, 8, 3), regression_rows(7, 5, 3));
  check(dense_classes_graph<Double>(5, 8, 4), dense_class_rows(7, 5, 4));
  check(two_means_graph<Double>(20, 8, 3), class_sequences(4, 20, 3, false));
  check(with_class_head(encoder_decoder_graph<Double>(20, 8, 2),
                        {.classes = 3, .pooling = Pooling::mean, .at = "encoder.final.norm"}),
        class_sequences(4, 20, 3, true));
}

TEST_CASE("any selection of a graph on numbers or means: gradients to the bit, FLOPs and kept bytes to the unit") {
  Counting backend(2);
  for (Fixture& fixture : dense_fixtures(backend)) {
    CAPTURE(fixture.graph().operators().front().name);
    REQUIRE(fixture.flops_agree(fixture.full(), training_plan(fixture.graph(), select_all(fixture.graph()))));
    for (std::uint64_t s = 0; s < 40; ++s) {
      CAPTURE(s);
      const Selection selection = random_selection(fixture.graph(), s);
      const Schedule schedule = make_schedule(fixture.graph(), selection);
      const Run run = fixture.run(schedule, selection);
      REQUIRE(fixture.gradients_agree(run, selection));
      REQUIRE(fixture.flops_agree(run, schedule.plan));
      REQUIRE(fixture.memory_agrees(run, schedule.plan));
    }
    const Selection none = select_none(fixture.graph());  // an evaluation
    const Schedule schedule = make_schedule(fixture.graph(), none);
    CHECK(fixture.flops_agree(fixture.run(schedule, none), schedule.plan));
  }
}

TEST_CASE("the reference has the gradients of the Eigen backend") {
  const auto compare = [](const auto& graph_for, const std::vector<Example>& examples) {
    ReferenceBackend<double> reference;
    Double eigen(1);
    const Batch batch = batch_of(examples);
    auto expected = make_model(reference, graph_for(reference), 3);
    auto actual = make_model(eigen, graph_for(eigen), 3);
    const auto theirs = gradients_of(expected, batch), ours = gradients_of(actual, batch);
    for (std::size_t p = 0; p < ours.size(); ++p) {
      for (std::size_t i = 0; i < ours[p].size(); ++i) CHECK(std::abs(ours[p][i] - theirs[p][i]) < 1e-13);
    }
  };
  compare([]<class B>(B&) { return regression_graph<B>(5, 8, 3); }, regression_rows(7, 5, 3));
  compare([]<class B>(B&) { return two_means_graph<B>(20, 8, 3); }, class_sequences(4, 20, 3, false));
}

TEST_CASE("a gradient never reaches below the lowest selected tensor of a network on dense rows") {
  const auto graph = regression_graph<Counting>(5, 8, 3);
  for (const auto& step : training_plan(graph, select_listed(graph, {"layer1.*"})).steps) {
    if (!step.is_backward()) continue;
    CHECK(graph.op(step.op).name != "layer0");
    CHECK(graph.op(step.op).name != "features");
  }
}
