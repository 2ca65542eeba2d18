// Importance leaves everything as it was, costs what it says, and the paper's metric is the loss increase from undoing
// one tensor's update.

#include <cmath>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/importance/make_importance.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/optim/adamw.hpp"
#include "greentrainer/optim/sgd.hpp"
#include "support/paths.hpp"
#include "support/tiny_models.hpp"

using namespace greentrainer;

namespace {

template <Backend B>
Model<B> tiny_model(B& backend, const std::string& name) {
  const auto config = ConfigReader::from_file(testing::source_folder() / "tests/golden/models" / name / "config.json");
  return KnownArchitectures::read(config, [&](const auto& architecture) {
    Model<B> model(backend, architecture.template graph<B>(), facts_of(architecture));
    testing::randomize(model, 11);
    return model;
  });
}

template <Backend B>
double loss_of(Model<B>& model, const Batch& batch) {
  return model.executor().run(make_schedule(model.graph(), select_none(model.graph())), batch) /
         static_cast<double>(batch.labelled());
}

template <Backend B>
std::vector<double> evaluate_metric(Model<B>& model, Optimizer<B>& optimizer, const std::vector<Batch>& batches,
                                    std::string_view name) {
  ImportanceContext<B> context{
      model.backend(), model.graph(), model.parameters(), model.executor(), optimizer, batches, 5, 0};
  return make_importance<B>(name)->evaluate(context);
}

}  // namespace

TEST_CASE("importance per weight is the paper's, divided by a tensor's size") {
  using B = EigenBackend<float>;
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  AdamW<B> optimizer(backend, {.learning_rate = 1e-3});
  const std::vector<Batch> batches = {testing::random_batch(96, {8, 13}, 1)};
  const auto whole = evaluate_metric<B>(model, optimizer, batches, "paper"),
             per_weight = evaluate_metric<B>(model, optimizer, batches, "paper-per-weight");
  for (std::size_t i = 0; i < whole.size(); ++i) {
    CHECK(per_weight[i] * static_cast<double>(model.graph().parameters()[i].size()) ==
          doctest::Approx(whole[i]).epsilon(1e-12));
  }
}

TEST_CASE("relative gradient norm and Fisher are what gradients and weights say, batch by batch") {
  using B = EigenBackend<double>;
  B backend(1);
  auto model = tiny_model(backend, "opt-post");
  // One tensor of zeros, as biases often are.
  const ParameterId zeros = model.graph().find("model.decoder.layers.0.fc1.bias").value();
  model.parameters()[zeros].zero();
  AdamW<B> optimizer(backend, {.learning_rate = 1e-3});
  const std::vector<Batch> batches = {testing::random_batch(96, {8, 13}, 1), testing::random_batch(96, {5}, 2)};
  const auto relative = evaluate_metric<B>(model, optimizer, batches, "relative-gradient-norm"),
             fisher = evaluate_metric<B>(model, optimizer, batches, "fisher");

  const std::size_t count = model.graph().parameters().size();
  std::vector<double> expected_relative(count, 0.0), expected_fisher(count, 0.0);
  const auto squares = [](std::span<const double> values) {
    double sum = 0;
    for (const double value : values) sum += value * value;
    return sum;
  };
  for (const Batch& batch : batches) {
    TransientGradients<B> sink(backend, model.graph(), [&](ParameterId id, Matrix<double> gradient) {
      const auto i = static_cast<std::size_t>(id);
      std::vector<double> values(static_cast<std::size_t>(gradient.size()));
      backend.copy_to_host(values.data(), gradient.data, gradient.size() * static_cast<Bytes>(sizeof(double)));
      const double of_gradient = squares(values), of_weights = squares(model.parameters()[id].download());
      expected_fisher[i] += of_gradient;
      expected_relative[i] += std::sqrt(id == zeros ? of_gradient : of_gradient / of_weights);
    });
    model.executor().run(make_schedule(model.graph(), select_all(model.graph())), batch,
                         {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &sink});
  }
  for (std::size_t i = 0; i < count; ++i) {
    CAPTURE(model.graph().parameters()[i].name);
    CHECK(relative[i] == doctest::Approx(expected_relative[i]).epsilon(1e-12));
    CHECK(fisher[i] == doctest::Approx(expected_fisher[i]).epsilon(1e-12));
    CHECK(fisher[i] >= 0);
  }
  CHECK(relative[static_cast<std::size_t>(zeros)] > 0);
}

TEST_CASE("Adam's gain is that of a step in a quadratic model whose curvature its moments stand for") {
  using B = EigenBackend<double>;
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  const AdamWOptions options{.learning_rate = 1e-3, .weight_decay = 0};
  AdamW<B> optimizer(backend, options);
  const Selection half =
      select_where(model.graph(), [](const Parameter& p) { return p.name.find("layers.1") != std::string::npos; });
  optimizer.select(model.graph(), half);
  const std::vector<Batch> batches = {testing::random_batch(96, {8, 13}, 1), testing::random_batch(96, {5}, 2)};
  const auto each_gradient = [&](const Batch& batch, const auto& use) {
    TransientGradients<B> sink(backend, model.graph(), [&](ParameterId id, Matrix<double> gradient) {
      Tensor<B> copy(backend, gradient.rows, gradient.cols);
      backend.copy(copy.data(), gradient.data, copy.bytes());
      use(id, copy);
    });
    model.executor().run(make_schedule(model.graph(), select_all(model.graph())), batch,
                         {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &sink});
  };
  for (std::uint64_t seed : {7U, 8U}) {  // two steps of half of the tensors
    std::vector<Tensor<B>> gradients(model.graph().parameters().size());
    each_gradient(testing::random_batch(96, {6, 9}, seed), [&](ParameterId id, Tensor<B>& gradient) {
      gradients[static_cast<std::size_t>(id)] = std::move(gradient);
    });
    for (ParameterId id = 0; id < static_cast<ParameterId>(gradients.size()); ++id) {
      if (half.contains(id))
        optimizer.step(id, model.parameters()[id], gradients[static_cast<std::size_t>(id)], options.learning_rate);
    }
  }
  const auto gain = evaluate_metric<B>(model, optimizer, batches, "adam-gain"),
             first_order = evaluate_metric<B>(model, optimizer, batches, "first-order");

  std::vector<double> expected(gain.size(), 0.0);
  for (const Batch& batch : batches) {
    each_gradient(batch, [&](ParameterId id, Tensor<B>& gradient) {
      const std::vector<double> g = gradient.download();
      const double steps = half.contains(id) ? 3 : 1;
      std::vector<double> m(g.size(), 0.0), v(g.size(), 0.0);
      if (half.contains(id)) {
        m = optimizer.state_tensors(id)[0].tensor->download();
        v = optimizer.state_tensors(id)[1].tensor->download();
      }
      for (std::size_t e = 0; e < g.size(); ++e) {
        const double mean = (0.9 * m[e] + 0.1 * g[e]) / (1 - std::pow(0.9, steps));
        const double square = (0.999 * v[e] + 0.001 * g[e] * g[e]) / (1 - std::pow(0.999, steps));
        const double curvature = (std::sqrt(square) + options.epsilon) / options.learning_rate;
        const double update = -mean / curvature;
        expected[static_cast<std::size_t>(id)] -= g[e] * update + curvature * update * update / 2;
      }
    });
  }
  bool differs = false;
  for (std::size_t i = 0; i < gain.size(); ++i) {
    CAPTURE(model.graph().parameters()[i].name);
    CHECK(gain[i] == doctest::Approx(expected[i]).epsilon(1e-9));
    if (half.mask()[i])
      differs = differs || std::abs(gain[i] - first_order[i] / 2) > 1e-3 * std::abs(first_order[i]);
    else
      CHECK(gain[i] == doctest::Approx(first_order[i] / 2).epsilon(1e-9));
  }
  CHECK(differs);
  Sgd<B> other(backend, {.learning_rate = 1e-3});
  CHECK_THROWS_WITH_AS(evaluate_metric<B>(model, other, batches, "adam-gain"),
                       doctest::Contains("expected an optimizer with a running mean of gradients"), ConfigError);
}

TEST_CASE("every metric leaves weights and optimizer state bit-identical, and costs what it says") {
  using B = CountingBackend<EigenBackend<float>>;
  for (const char* name : {"opt-post", "llama-gqa-tied"}) {
    B backend(2);
    auto model = tiny_model(backend, name);
    const std::vector<Batch> batches = {testing::random_batch(96, {8, 13}, 1), testing::random_batch(96, {5}, 2)};
    AdamW<B> optimizer(backend, {.learning_rate = 1e-2});
    const Selection half =
        select_where(model.graph(), [](const Parameter& p) { return p.name.find("layers.1") != std::string::npos; });
    optimizer.select(model.graph(), half);
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      if (half.contains(id)) optimizer.step(id, model.parameters()[id], model.parameters()[id], 1e-2);
    }
    const auto snapshot = [&] {
      std::vector<std::vector<float>> all;
      for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
        all.push_back(model.parameters()[id].download());
        if (!half.contains(id)) continue;
        all.push_back(optimizer.state_tensors(id)[0].tensor->download());
        all.push_back(optimizer.state_tensors(id)[1].tensor->download());
        all.push_back({static_cast<float>(optimizer.updates(id))});
      }
      return all;
    };
    const auto before = snapshot();
    Workload workload;
    for (const Batch& batch : batches) workload += workload_of(batch);
    for (const char* metric : importance_names) {
      CAPTURE(metric);
      const Bytes live = backend.memory().live;
      backend.reset();
      const auto importance = evaluate_metric<B>(model, optimizer, batches, metric);
      CHECK(importance.size() == model.graph().parameters().size());
      CHECK(backend.flops() == make_importance<B>(metric)->flops(model.graph(), workload, optimizer));
      CHECK(snapshot() == before);
      CHECK(evaluate_metric<B>(model, optimizer, batches, metric) == importance);
      CHECK(backend.memory().live >= live);  // the executor's block may have grown; nothing else stays
    }
  }
  CHECK_THROWS_AS(make_importance<B>("best"), UsageError);
}

TEST_CASE(
    "the paper's metric tends to the loss increase from undoing one tensor's update as the learning rate goes to 0") {
  using B = EigenBackend<double>;
  B backend(2);
  auto model = tiny_model(backend, "llama-mha-untied");
  const std::vector<Batch> batches = {testing::random_batch(96, {9, 6}, 3)};
  double previous = INFINITY;
  for (const double learning_rate : {1e-3, 1e-4, 1e-5}) {
    AdamW<B> optimizer(backend, {.learning_rate = learning_rate});
    const auto importance = evaluate_metric<B>(model, optimizer, batches, "paper");

    std::vector<std::vector<double>> before, after;
    TransientGradients<B> move(backend, model.graph(), [&](ParameterId id, Matrix<double> gradient) {
      optimizer.candidate(id, model.parameters()[id].matrix(), gradient, learning_rate);
    });
    for (ParameterId id = 0; id < static_cast<ParameterId>(importance.size()); ++id)
      before.push_back(model.parameters()[id].download());
    model.executor().run(make_schedule(model.graph(), select_all(model.graph())), batches[0],
                         {.gradient_scale = 1.0 / static_cast<double>(batches[0].labelled()), .gradients = &move});
    for (ParameterId id = 0; id < static_cast<ParameterId>(importance.size()); ++id)
      after.push_back(model.parameters()[id].download());
    const double loss = loss_of(model, batches[0]);
    double error = 0, scale = 0;
    for (ParameterId id = 0; id < static_cast<ParameterId>(importance.size()); ++id) {
      const auto i = static_cast<std::size_t>(id);
      model.parameters()[id].upload(before[i]);
      const double increase = loss_of(model, batches[0]) - loss;
      model.parameters()[id].upload(after[i]);
      error = std::max(error, std::abs(increase - importance[i]));
      scale = std::max(scale, std::abs(increase));
    }
    for (ParameterId id = 0; id < static_cast<ParameterId>(importance.size()); ++id)
      model.parameters()[id].upload(before[static_cast<std::size_t>(id)]);
    CHECK(error / scale < 0.2 * previous);  // a tenth of the learning rate, about a tenth of the error
    previous = error / scale;
  }
  CHECK(previous < 1e-2);
}
