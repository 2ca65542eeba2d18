#pragma once

#include <string>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/optim/element_wise.hpp"

namespace greentrainer {

/// Options of torch.optim.SGD, with its defaults; without dampening or Nesterov momentum.
struct SgdOptions {
  double learning_rate = 1e-3;
  double momentum = 0;
  double weight_decay = 0;
  Selection undecayed = {};     ///< parameters without weight decay, see select_norms_and_biases; empty: none
  RateFactor rate_factor = {};  ///< a learning rate of its own, for adapters beside weights, say

  template <class T>
  void with_rule(const UpdateScalars& scalars, const auto& use) const {
    if (momentum == 0)
      use(SgdRule<T>(scalars));
    else
      use(SgdMomentumRule<T>(momentum, scalars));
  }
  std::string text_of_options() const {
    return text("sgd (learning_rate ", exact_text(learning_rate), ", momentum ", exact_text(momentum),
                ", weight_decay ", exact_text(weight_decay), ')');
  }
};

/// Throws ConfigError for an option that is no number or out of range.
inline void check_options(const SgdOptions& o) {
  check_common_options("Sgd", o);
  expect_option(o.momentum >= 0 && o.momentum <= 1, "Sgd", "momentum", "0 to 1", o.momentum);
}

template <Backend B>
using Sgd = ElementWise<B, SgdOptions>;

}  // namespace greentrainer
