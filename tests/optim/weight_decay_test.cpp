// Parameters that are spared from weight decay move as with none, the others as if none were spared.

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

/// Two parameters after three updates, and what a candidate of the next would be.
template <class Options>
std::vector<std::vector<double>> updated(const Options& options, bool with_state) {
  B backend(1);
  TensorGraph<B> graph;
  graph.parameter("a", {2, 2});
  graph.parameter("b", {2, 2});
  const auto optimizer = make_optimizer(backend, options);
  if (with_state) optimizer->select(graph, select_all(graph));
  const std::vector<double> start = {1, -2, 3, -4}, gradient = {0.5, 0.25, -0.125, 1};
  std::vector<std::vector<double>> all;
  for (ParameterId id = 0; id < 2; ++id) {
    Tensor<B> weights(backend, 2, 2), gradients(backend, 2, 2);
    weights.upload(start);
    gradients.upload(gradient);
    for (int step = 0; with_state && step < 3; ++step) {
      optimizer->step(id, weights, gradients, 0.1);
      all.push_back(weights.download());
    }
    optimizer->candidate(id, weights.matrix(), gradients.matrix(), 0.1);
    all.push_back(weights.download());
  }
  return all;
}

template <class Options>
void check_spared(Options options) {
  for (const bool with_state : {true, false}) {
    CAPTURE(with_state);
    options.weight_decay = 0;
    const auto without = updated(options, with_state);
    options.weight_decay = 0.3;
    const auto with = updated(options, with_state);
    options.undecayed = Selection({true, false});
    const auto first_spared = updated(options, with_state);
    const std::size_t half = with.size() / 2;
    for (std::size_t i = 0; i < with.size(); ++i) CHECK(first_spared[i] == (i < half ? without : with)[i]);
    CHECK(with[0] != without[0]);
    options.undecayed = {};
  }
}

}  // namespace

TEST_CASE("a parameter that is spared moves as without weight decay, and others as with it") {
  check_spared(AdamWOptions{});
  check_spared(SgdOptions{.momentum = 0.9});
  check_spared(SgdOptions{});
  check_spared(LionOptions{});
  check_spared(RmsPropOptions{});
  check_spared(AdagradOptions{});
  check_spared(AdafactorOptions{});
}

TEST_CASE("an optimizer's description tells what is spared") {
  B backend(1);
  const auto description = [&](Selection undecayed) {
    return make_optimizer(backend, AdamWOptions{.undecayed = std::move(undecayed)})->description();
  };
  CHECK(description(Selection({true, true, false, true})).find(", undecayed 0-1,3)") != std::string::npos);
  CHECK(description({}) == description(Selection({false, false})));
  CHECK(description(Selection({true, false})) != description(Selection({false, true})));
}
