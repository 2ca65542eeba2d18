#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/parallel/ranks.hpp"
#include "greentrainer/train/run_identity.hpp"

namespace greentrainer {

/// Throws ConfigError, on every rank, where a rank has another value than rank 0 of something that must be the same.
inline void expect_agreement(Ranks& ranks, const std::string& what, const std::string& own) {
  const std::vector<std::string> all = ranks.gather(own, Traffic::control);
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all.front()) continue;
    throw ConfigError("ranks", what,
                      text("expected ", all.front(), " as on rank 0, got ", all[rank], " on rank ", rank));
  }
}

/// The same for each entry of a run's identity; names the first that differs.
inline void expect_agreement(Ranks& ranks, const RunIdentity& own) {
  if (ranks.is_alone()) return;
  std::string names;  // one line each: first which entries there are, then what they say
  for (const auto& [name, unused] : own) names += name + '\n';
  expect_agreement(ranks, "entries of the run", names);
  for (const auto& [name, value] : own) expect_agreement(ranks, name, value);
}

/// Throws ConfigError for options that do not work with several ranks yet.
template <class P>
void check_ranks(const Ranks& ranks, const TensorGraph<P>& graph, const FitOptions& o) {
  if (ranks.is_alone()) return;
  const auto refuse = [](const char* field, const auto& value) {
    expect_option(false, "fit", field, "none with several ranks, which do not support it yet", value);
  };
  if (o.prefix_cache != PrefixCacheMode::off) refuse("prefix_cache", "one");
  if (o.budget.is_set()) refuse("budget", "one");
  if (o.keep_best && o.keep_best->take) refuse("keep_best", o.keep_best->name);
  for (const auto& node : graph.operators()) {
    // With exact sums a pass has one example, which its masks are keyed by.
    expect_option(o.gradient_sums == GradientSums::exact || !node.op->is_random(), "fit", "dropout",
                  "none with several ranks and fast gradient_sums, or exact ones", node.name);
  }
}

}  // namespace greentrainer
