#pragma once

#include <string>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/optim/element_wise.hpp"

namespace greentrainer {

/// Options of Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms"), with the paper's defaults.
/// Every element moves by the learning rate: take a third to a tenth of AdamW's, and as many times its weight decay.
struct LionOptions {
  double learning_rate = 1e-4;
  double beta1 = 0.9;   ///< of the mean whose sign is taken
  double beta2 = 0.99;  ///< of the mean that is kept
  double weight_decay = 0;
  Selection undecayed = {};     ///< parameters without weight decay, see select_norms_and_biases; empty: none
  RateFactor rate_factor = {};  ///< a learning rate of its own, for adapters beside weights, say

  template <class T>
  void with_rule(const UpdateScalars& scalars, const auto& use) const {
    use(LionRule<T>(beta1, beta2, scalars));
  }
  std::string text_of_options() const {
    return text("lion (learning_rate ", exact_text(learning_rate), ", beta1 ", exact_text(beta1), ", beta2 ",
                exact_text(beta2), ", weight_decay ", exact_text(weight_decay), ')');
  }
};

/// Throws ConfigError for an option that is no number or out of range.
inline void check_options(const LionOptions& o) {
  check_common_options("Lion", o);
  expect_decay("Lion", "beta1", o.beta1);
  expect_decay("Lion", "beta2", o.beta2);
}

template <Backend B>
using Lion = ElementWise<B, LionOptions>;

}  // namespace greentrainer
