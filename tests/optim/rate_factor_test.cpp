// Parameters with a rate factor move as with a learning rate so many times as large; others do not notice.

#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/optim/adafactor.hpp"
#include "greentrainer/optim/adagrad.hpp"
#include "greentrainer/optim/adamw.hpp"
#include "greentrainer/optim/lion.hpp"
#include "greentrainer/optim/rmsprop.hpp"
#include "greentrainer/optim/sgd.hpp"

using namespace greentrainer;

namespace {

using B = EigenBackend<double>;

/// Of two parameters that begin alike, after three updates and a candidate of the next.
template <class Options>
std::vector<std::vector<double>> updated(const Options& options, double learning_rate) {
  B backend(1);
  TensorGraph<B> graph;
  graph.parameter("a", {2, 2});
  graph.parameter("b", {2, 2});
  const auto optimizer = make_optimizer(backend, options);
  optimizer->select(graph, select_all(graph));
  std::vector<std::vector<double>> all;
  for (ParameterId id = 0; id < 2; ++id) {
    Tensor<B> weights(backend, 2, 2), gradients(backend, 2, 2);
    weights.upload(std::vector<double>{1, -2, 3, -4});
    gradients.upload(std::vector<double>{0.5, 0.25, -0.125, 1});
    for (int step = 0; step < 3; ++step) optimizer->step(id, weights, gradients, learning_rate);
    optimizer->candidate(id, weights.matrix(), gradients.matrix(), learning_rate);
    all.push_back(weights.download());
  }
  return all;
}

template <class Options>
void check_factor(Options options) {
  options.weight_decay = 0.3;
  const auto slow = updated(options, 0.125), fast = updated(options, 0.5);
  options.rate_factor = {.of = Selection({true, false}), .factor = 4};  // a power of 2: products are exact
  const auto mixed = updated(options, 0.125);
  CHECK(mixed[0] == fast[0]);
  CHECK(mixed[1] == slow[1]);
  CHECK(fast[0] != slow[0]);
}

}  // namespace

TEST_CASE("a parameter with a rate factor moves as with a learning rate of so many times the others', decay included") {
  check_factor(AdamWOptions{});
  check_factor(SgdOptions{.momentum = 0.9});
  check_factor(SgdOptions{});
  check_factor(LionOptions{});
  check_factor(RmsPropOptions{});
  check_factor(AdagradOptions{});
  check_factor(AdafactorOptions{});
}

TEST_CASE("a description tells rate factors, and one that is no positive number is refused") {
  B backend(1);
  const auto description = [&](RateFactor rates) {
    return make_optimizer(backend, AdamWOptions{.rate_factor = std::move(rates)})->description();
  };
  CHECK(description({.of = Selection({true, false, true}), .factor = 10}).find(", rate factor 10 for 0,2)") !=
        std::string::npos);
  CHECK(description({.of = Selection({true}), .factor = 1}) == description({}));
  for (const double bad : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS(make_optimizer(backend, AdamWOptions{.rate_factor = {.of = {}, .factor = bad}}), ConfigError);
    CHECK_THROWS_AS(make_optimizer(backend, SgdOptions{.rate_factor = {.of = {}, .factor = bad}}), ConfigError);
  }
}
