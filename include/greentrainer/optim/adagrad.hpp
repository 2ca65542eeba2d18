#pragma once

#include <string>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/optim/element_wise.hpp"

namespace greentrainer {

/// Options of torch.optim.Adagrad, with its defaults; sums begin at 0.
struct AdagradOptions {
  double learning_rate = 1e-2;
  double lr_decay = 0;
  double epsilon = 1e-10;
  double weight_decay = 0;
  Selection undecayed = {};     ///< parameters without weight decay, see select_norms_and_biases; empty: none
  RateFactor rate_factor = {};  ///< a learning rate of its own, for adapters beside weights, say

  template <class T>
  void with_rule(const UpdateScalars& scalars, const auto& use) const {
    use(AdagradRule<T>(lr_decay, epsilon, scalars));
  }
  std::string text_of_options() const {
    return text("adagrad (learning_rate ", exact_text(learning_rate), ", lr_decay ", exact_text(lr_decay), ", epsilon ",
                exact_text(epsilon), ", weight_decay ", exact_text(weight_decay), ')');
  }
};

/// Throws ConfigError for an option that is no number or out of range, and for an epsilon that is 0 as a float.
inline void check_options(const AdagradOptions& o) {
  check_common_options("Adagrad", o);
  expect_at_least(0, "Adagrad", "lr_decay", o.lr_decay);
  expect_at_least(least_epsilon, "Adagrad", "epsilon", o.epsilon);
}

template <Backend B>
using Adagrad = ElementWise<B, AdagradOptions>;

}  // namespace greentrainer
