// Every optimizer moves parameters as torch.optim's of its name (tests/golden/make_optimizer_goldens.py), on any
// backend, and takes what it says.

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/reference.hpp"
#include "greentrainer/core/random.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/optim/adafactor.hpp"
#include "greentrainer/optim/adagrad.hpp"
#include "greentrainer/optim/adamw.hpp"
#include "greentrainer/optim/lion.hpp"
#include "greentrainer/optim/rmsprop.hpp"
#include "greentrainer/optim/sgd.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

namespace {

/// A backend that takes no rules: the library runs them on the host.
struct WithoutRules : ReferenceBackend<double> {
  void update_step();
  void update_candidate();
};
static_assert(Backend<WithoutRules> && !TakesUpdateRule<WithoutRules, SgdRule<double>>);
static_assert(TakesUpdateRule<EigenBackend<float>, LionRule<float>, float>);
static_assert(TakesUpdateRule<ReferenceBackend<double>, AdamWRule<double>, double, double>);

template <class Visit>
void for_each_optimizer(Visit&& visit) {
  visit("adamw", AdamWOptions{.learning_rate = 1e-2, .beta2 = 0.95, .weight_decay = 0.1});
  visit("sgd", SgdOptions{.learning_rate = 1e-2, .weight_decay = 0.1});
  visit("sgd_momentum", SgdOptions{.learning_rate = 1e-2, .momentum = 0.9, .weight_decay = 0.1});
  visit("lion", LionOptions{.learning_rate = 1e-2, .weight_decay = 0.1});
  visit("rmsprop", RmsPropOptions{.alpha = 0.9, .weight_decay = 0.1});
  visit("rmsprop_momentum", RmsPropOptions{.alpha = 0.9, .momentum = 0.8, .weight_decay = 0.1});
  visit("adagrad", AdagradOptions{.lr_decay = 0.1, .weight_decay = 0.1});
  visit("adafactor", AdafactorOptions{.weight_decay = 0.1});
  visit("adafactor_fast", AdafactorOptions{.learning_rate = 0.5, .beta2_decay = -0.5, .epsilon1 = 1e-3, .d = 2});
}

template <class T>
std::vector<T> numbers(const Json& tensor) {
  std::vector<T> all;
  for (const Json& part : tensor) {
    if (part.is_array()) {
      const auto inner = numbers<T>(part);
      all.insert(all.end(), inner.begin(), inner.end());
    } else {
      all.push_back(static_cast<T>(part.get<double>()));
    }
  }
  return all;
}

template <class T>
void check_near(const std::vector<T>& actual, const std::vector<double>& expected) {
  REQUIRE(actual.size() == expected.size());
  const double tolerance = 100 * static_cast<double>(std::numeric_limits<T>::epsilon());
  for (std::size_t i = 0; i < actual.size(); ++i)
    CHECK(std::abs(static_cast<double>(actual[i]) - expected[i]) <= tolerance * (std::abs(expected[i]) + 0.1));
}

template <class B>
TensorGraph<B> graph_of(std::vector<ParameterShape> shapes) {
  TensorGraph<B> graph;
  for (std::size_t i = 0; i < shapes.size(); ++i) graph.parameter(text(i), shapes[i]);
  return graph;
}

template <class B>
void check_golden(B backend) {
  using T = typename B::Scalar;
  const Json golden = read_json_file(testing::source_folder() / "tests/golden/optimizers.json");
  const auto graph = graph_of<B>({{3, 5}, {5}});
  for_each_optimizer([&](const std::string& name, const auto& options) {
    CAPTURE(name);
    const Json& expected = golden.at(name);
    const auto optimizer = make_optimizer(backend, options);
    optimizer->select(graph, select_all(graph));
    for (ParameterId id = 0; id < 2; ++id) {
      CAPTURE(id);
      const auto i = static_cast<std::size_t>(id);
      Tensor<B> weights(backend, graph.parameter(id).rows(), 5), gradient(backend, graph.parameter(id).rows(), 5);
      weights.upload(numbers<T>(golden.at("start")[i]));
      for (const Json& gradients : golden.at("gradients")) {
        gradient.upload(numbers<T>(gradients[i]));
        optimizer->step(id, weights, gradient, options.learning_rate);
      }
      check_near(weights.download(), numbers<double>(expected.at("end")[i]));
      const Json& state = expected.at("state")[i];
      const auto kept = optimizer->state_tensors(id);
      CHECK(kept.size() == state.size());
      for (const auto& tensor : kept)
        check_near(tensor.tensor->download(), numbers<double>(state.at(std::string(tensor.name))));
      CHECK(optimizer->updates(id) == (kept.empty() ? 0 : 12));
    }
  });
}

/// A matrix and a vector after three steps and a candidate of the fourth, and the same after the fourth step.
template <class T, class Options>
std::array<std::vector<T>, 4> run(int threads, const Options& options, const std::vector<ParameterShape>& shapes) {
  using B = EigenBackend<T>;
  B backend(threads);
  const auto graph = graph_of<B>(shapes);
  const auto optimizer = make_optimizer(backend, options);
  optimizer->select(graph, select_all(graph));
  std::array<std::vector<T>, 4> all;
  for (ParameterId id = 0; id < 2; ++id) {
    const Parameter& p = graph.parameter(id);
    Tensor<B> weights(backend, p.rows(), p.cols()), gradient(backend, p.rows(), p.cols());
    std::vector<T> values(static_cast<std::size_t>(p.size()));
    const auto fill = [&](const Tensor<B>& tensor, std::uint64_t part) {
      const RandomStream stream(7, "numbers", part);
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<T>(static_cast<double>(stream.block(i)[0] % 1000) / 500 - 1);
      backend.copy_from_host(tensor.data(), values.data(), tensor.bytes());
    };
    fill(weights, 1);
    for (std::uint64_t step = 0; step < 4; ++step) {
      fill(gradient, 2 + step);
      if (step == 3) {
        Tensor<B> moved(backend, p.rows(), p.cols());
        backend.copy(moved.data(), weights.data(), weights.bytes());
        optimizer->candidate(id, moved.matrix(), gradient.matrix(), options.learning_rate);
        all[static_cast<std::size_t>(2 * id)] = moved.download();
      }
      optimizer->step(id, weights, gradient, options.learning_rate);
    }
    all[static_cast<std::size_t>(2 * id + 1)] = weights.download();
  }
  return all;
}

}  // namespace

TEST_CASE("every optimizer moves parameters, and keeps what it keeps, as torch.optim's of its name") {
  check_golden(EigenBackend<double>(1));
  check_golden(EigenBackend<float>(1));
  check_golden(ReferenceBackend<double>());
  check_golden(WithoutRules());
}

TEST_CASE("a candidate of any optimizer is to the bit what its step makes, and on any number of threads the same") {
  const std::vector<ParameterShape> shapes = {{301, 133}, {40001}};
  for_each_optimizer([&](const std::string& name, const auto& options) {
    CAPTURE(name);
    const auto one = run<float>(1, options, shapes);
    CHECK(one[0] == one[1]);
    CHECK(one[2] == one[3]);
    CHECK(run<float>(3, options, shapes) == one);
  });
}

TEST_CASE("an optimizer executes the FLOPs, and holds the bytes, that it says") {
  using B = CountingBackend<EigenBackend<float>>;
  for_each_optimizer([&](const std::string& name, const auto& options) {
    CAPTURE(name);
    B backend(1);
    // The first is of several parts, the third a matrix of one row.
    const auto graph = graph_of<B>({{1500, 1000}, {77}, {1, 9}, {9, 1}, {6, 5}});
    std::vector<Tensor<B>> weights, gradients;
    for (const Parameter& p : graph.parameters()) {
      for (auto* all : {&weights, &gradients}) all->emplace_back(backend, p.rows(), p.cols()).zero();
    }
    const Bytes before = backend.memory().live;
    const auto optimizer = make_optimizer(backend, options);
    optimizer->select(graph, select_all(graph));
    Bytes state = 0;
    for (const Parameter& p : graph.parameters()) state += optimizer->state_bytes_of(p);
    CHECK(optimizer->state_bytes() == state);
    for (ParameterId id = 0; id < 5; ++id) {
      const auto i = static_cast<std::size_t>(id);
      backend.reset();
      optimizer->step(id, weights[i], gradients[i], 0.1);
      CHECK(backend.flops() == optimizer->update_flops(graph.parameter(id)));
      CHECK(backend.memory().allocations == 0);
      backend.reset();
      optimizer->candidate(id, weights[i].matrix(), gradients[i].matrix(), 0.1);
      CHECK(backend.flops() == optimizer->update_flops(graph.parameter(id)));
    }
    CHECK(backend.memory().peak - before == state + optimizer->scratch_bytes(graph));
    optimizer->select(graph, select_none(graph));
    CHECK(optimizer->state_bytes() == 0);
  });
}

TEST_CASE("Adafactor keeps a number for each row and column of a matrix, and no more than a part of it at once") {
  using B = EigenBackend<float>;
  B backend(1);
  const auto graph = graph_of<B>({{30000, 1000}});
  const auto adafactor = make_optimizer(backend, AdafactorOptions{});
  CHECK(adafactor->state_bytes_of(graph.parameter(0)) == 4 * 31000);
  CHECK(adafactor->scratch_bytes(graph) < 6'000'000);
  CHECK(make_optimizer(backend, AdamWOptions{})->state_bytes_of(graph.parameter(0)) == 8 * 30'000'000);
}

TEST_CASE("an optimizer's options out of range are refused by name") {
  EigenBackend<float> backend(1);
  const auto refused = [&](const char* field, const auto& options) {
    CAPTURE(field);
    CHECK_THROWS_WITH_AS(make_optimizer(backend, options), doctest::Contains(field), ConfigError);
  };
  for_each_optimizer([&](const std::string&, auto options) {
    options.learning_rate = 0;
    refused("learning_rate", options);
    options.learning_rate = 1;
    options.weight_decay = -1;
    refused("weight_decay", options);
  });
  refused("beta2", LionOptions{.beta2 = 1});
  refused("alpha", RmsPropOptions{.alpha = -0.1});
  refused("momentum", RmsPropOptions{.momentum = 2});
  refused("lr_decay", AdagradOptions{.lr_decay = -1});
  refused("epsilon", AdagradOptions{.epsilon = 0});
  refused("beta2_decay", AdafactorOptions{.beta2_decay = 0.1});
  refused("epsilon1", AdafactorOptions{.epsilon1 = 0});
  refused(" d", AdafactorOptions{.d = 0.5});
}
