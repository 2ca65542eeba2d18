#pragma once

#include <cmath>
#include <string>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/optim/element_wise.hpp"

namespace greentrainer {

/// Options of torch.optim.AdamW (Loshchilov, Hutter: decoupled weight decay), with its defaults.
struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  Selection undecayed = {};     ///< parameters without weight decay, see select_norms_and_biases; empty: none
  RateFactor rate_factor = {};  ///< a learning rate of its own, for adapters beside weights, say

  template <class T>
  void with_rule(const UpdateScalars& scalars, const auto& use) const {
    use(AdamWRule<T>(beta1, beta2, epsilon, scalars));
  }
  std::string text_of_options() const {
    return text("adamw (learning_rate ", exact_text(learning_rate), ", beta1 ", exact_text(beta1), ", beta2 ",
                exact_text(beta2), ", epsilon ", exact_text(epsilon), ", weight_decay ", exact_text(weight_decay), ')');
  }
  double gradient_mean_decay() const { return beta1; }
};

/// Throws ConfigError for an option that is no number or outside of torch.optim.AdamW's range, and for an epsilon that
/// is 0 as a float: an element whose gradients are all 0 would become NaN.
inline void check_options(const AdamWOptions& o) {
  check_common_options("AdamW", o);
  expect_decay("AdamW", "beta1", o.beta1);
  expect_decay("AdamW", "beta2", o.beta2);
  expect_at_least(least_epsilon, "AdamW", "epsilon", o.epsilon);
}

template <Backend B>
using AdamW = ElementWise<B, AdamWOptions>;

}  // namespace greentrainer
