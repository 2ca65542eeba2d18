#pragma once

#include <array>
#include <string>

#include "greentrainer/optim/adafactor.hpp"
#include "greentrainer/optim/adagrad.hpp"
#include "greentrainer/optim/adamw.hpp"
#include "greentrainer/optim/lion.hpp"
#include "greentrainer/optim/rmsprop.hpp"
#include "greentrainer/optim/sgd.hpp"

namespace greentrainer::program {

/// The optimizers of --optimizer.
inline constexpr std::array optimizer_names = {"adamw", "sgd", "lion", "rmsprop", "adagrad", "adafactor"};

/// Calls use(default options) of an optimizer of optimizer_names.
template <class Use>
auto with_default_options(const std::string& optimizer, const Use& use) {
  if (optimizer == "sgd") return use(SgdOptions{});
  if (optimizer == "lion") return use(LionOptions{});
  if (optimizer == "rmsprop") return use(RmsPropOptions{});
  if (optimizer == "adagrad") return use(AdagradOptions{});
  if (optimizer == "adafactor") return use(AdafactorOptions{});
  return use(AdamWOptions{});
}

}  // namespace greentrainer::program
