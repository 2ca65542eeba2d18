#pragma once

#include <string>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/optim/element_wise.hpp"

namespace greentrainer {

/// Options of torch.optim.RMSprop, with its defaults; not centered.
struct RmsPropOptions {
  double learning_rate = 1e-2;
  double alpha = 0.99;
  double epsilon = 1e-8;
  double momentum = 0;
  double weight_decay = 0;
  Selection undecayed = {};     ///< parameters without weight decay, see select_norms_and_biases; empty: none
  RateFactor rate_factor = {};  ///< a learning rate of its own, for adapters beside weights, say

  template <class T>
  void with_rule(const UpdateScalars& scalars, const auto& use) const {
    if (momentum == 0)
      use(RmsPropRule<T>(alpha, epsilon, scalars));
    else
      use(RmsPropMomentumRule<T>(alpha, epsilon, momentum, scalars));
  }
  std::string text_of_options() const {
    return text("rmsprop (learning_rate ", exact_text(learning_rate), ", alpha ", exact_text(alpha), ", epsilon ",
                exact_text(epsilon), ", momentum ", exact_text(momentum), ", weight_decay ", exact_text(weight_decay),
                ')');
  }
};

/// Throws ConfigError for an option that is no number or out of range, and for an epsilon that is 0 as a float.
inline void check_options(const RmsPropOptions& o) {
  check_common_options("RmsProp", o);
  expect_decay("RmsProp", "alpha", o.alpha);
  expect_at_least(least_epsilon, "RmsProp", "epsilon", o.epsilon);
  expect_option(o.momentum >= 0 && o.momentum <= 1, "RmsProp", "momentum", "0 to 1", o.momentum);
}

template <Backend B>
using RmsProp = ElementWise<B, RmsPropOptions>;

}  // namespace greentrainer
