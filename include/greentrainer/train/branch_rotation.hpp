#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/random.hpp"
#include "greentrainer/graph/residual_branches.hpp"
#include "greentrainer/train/training_options.hpp"

namespace greentrainer {

/// Approximate gradients: a random share of the residual branches passes gradients to the stream below exactly, the
/// others pass the identity. Drawn anew with every selection.
struct PassingOptions {
  double exact_share = 0.25;  ///< of the branches, rounded, at least one of them; 1: all gradients are exact
  std::uint64_t seed = 0;
  /// Between two draws for a fixed selection, by default Interval{}. Not beside GreenOptions, whose reselect_every it
  /// is: a budget holds for the branches that were drawn, so tensors are chosen with them.
  std::optional<Interval> every = {};
};

/// Throws ConfigError for an option that is out of range.
inline void check_options(const PassingOptions& o) {
  expect_option(o.exact_share > 0 && o.exact_share <= 1, "PassingOptions", "exact_share", "more than 0 and at most 1",
                o.exact_share);
  expect_option(!o.every || is_in_range(*o.every), "PassingOptions", "every", text("1 to ", most_steps),
                o.every.value_or(Interval{}).every);
}

/// Which residual branches of a graph pass the identity: a pure function of the seed and of the step that a selection
/// is made for, so that a run that is continued draws what it had.
class BranchRotation {
 public:
  /// Throws ConfigError for options out of range, and for a graph without residual branches.
  template <class P>
  BranchRotation(const TensorGraph<P>& graph, const PassingOptions& options)
      : branches_(residual_branches(graph)), options_(options) {
    check_options(options);
    if (branches_.empty()) {
      throw ConfigError("BranchRotation", "graph",
                        "expected residual branches that can pass the identity, got a graph without one");
    }
  }

  const PassingOptions& options() const { return options_; }
  std::size_t count() const { return branches_.size(); }
  /// Of the branches, how many pass gradients exactly.
  std::size_t exact() const {
    const auto rounded = std::llround(options_.exact_share * static_cast<double>(count()));
    return std::max<std::size_t>(1, static_cast<std::size_t>(rounded));
  }

  /// Those that pass the identity from this step on, in the order of the forward pass.
  std::vector<const ResidualBranch*> drawn(Extent step) const {
    std::vector<std::size_t> order(count());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    CounterRandom random(options_.seed, "identity branches", static_cast<std::uint64_t>(step));
    const std::size_t identity = count() - exact();
    for (std::size_t i = 0; i < identity; ++i)
      std::swap(order[i], order[i + random.below(static_cast<std::uint32_t>(count() - i))]);
    order.resize(identity);
    std::sort(order.begin(), order.end());
    std::vector<const ResidualBranch*> branches;
    for (const std::size_t i : order) branches.push_back(&branches_[i]);
    return branches;
  }
  DetachedInputs detached(Extent step) const {
    DetachedInputs inputs;
    for (const ResidualBranch* branch : drawn(step)) detach(inputs, *branch);
    return inputs;
  }
  std::vector<std::string> names(Extent step) const {
    std::vector<std::string> names;
    for (const ResidualBranch* branch : drawn(step)) names.push_back(branch->name);
    return names;
  }

 private:
  std::vector<ResidualBranch> branches_;
  PassingOptions options_;
};

}  // namespace greentrainer
