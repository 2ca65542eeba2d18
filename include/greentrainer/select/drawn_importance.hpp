#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "greentrainer/core/random.hpp"

namespace greentrainer {

/// Importances to choose by where the choice is to be a draw instead of the best: each positive one divided by an
/// exponential random number of its own, which adds Gumbel noise to its logarithm (perturb and MAP: Papandreou, Yuille,
/// ICCV 2011). Others stay as they are, and are not chosen. Among items of one cost that need nothing of each other, a
/// selector then draws without replacement, each time in proportion to the importances of what is left (Efraimidis,
/// Spirakis, 2006; Kool, van Hoof, Welling, ICML 2019). Elsewhere costs, dependencies and budget are the selector's to
/// keep, as for any importances. A function of its arguments alone.
inline std::vector<double> drawn_importance(std::vector<double> importance, std::uint64_t seed, std::uint64_t step) {
  CounterRandom random(seed, "drawn importance", step);
  for (double& value : importance) {
    const double exponential = std::max(-std::log1p(-random.uniform()), 0x1p-54);  // not 0; drawn for all of them
    if (value > 0) value /= exponential;
  }
  return importance;
}

}  // namespace greentrainer
