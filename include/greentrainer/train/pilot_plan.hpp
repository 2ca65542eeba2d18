#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Trying candidates may take one part in so many of a run's FLOPs, evaluations included.
inline constexpr Flops pilot_share = 20;

/// Short runs that compare candidates before a long one: in each round as many FLOPs for each candidate, of which the
/// better half goes on, with more of them, from the weights that all begin with.
struct PilotPlan {
  struct Round {
    std::size_t candidates = 0;
    Flops each = 0;  ///< that training one of them may take
  };

  std::vector<Round> rounds = {};  ///< empty: not even two candidates can be tried
  std::size_t held_out = 0;        ///< rows that every candidate is evaluated on

  /// How many candidates are tried, the first ones.
  std::size_t candidates() const { return rounds.empty() ? 0 : rounds.front().candidates; }
};

/// How many of a round's candidates are in the next one.
constexpr std::size_t pilot_survivors(std::size_t candidates) { return std::max<std::size_t>(2, (candidates + 1) / 2); }

namespace detail {

/// Candidates in each of at most so many rounds; none follows a round of two.
inline std::vector<PilotPlan::Round> pilot_rounds(std::size_t candidates, std::size_t most) {
  std::vector<PilotPlan::Round> rounds;
  for (; rounds.size() < most; candidates = pilot_survivors(candidates)) {
    rounds.push_back({.candidates = candidates});
    if (candidates <= 2) break;
  }
  return rounds;
}

}  // namespace detail

inline constexpr std::size_t fewest_held_out = 8;  ///< rows; fewer compare nothing

/// Plans pilots within `allowed` FLOPs. `least`: of each candidate, best guess first, the FLOPs of the shortest
/// training that says anything; where not all can be tried, the last ones are left out. `evaluation`: FLOPs of one
/// evaluation on so many held-out rows; each candidate of a round takes one, and the untrained model one. Rows are
/// `most_rows` or fewer, at least `fewest_rows`. As many candidates as possible first, then rounds, then rows.
inline PilotPlan plan_pilots(Flops allowed, const std::vector<Flops>& least,
                             const std::function<Flops(std::size_t rows)>& evaluation, std::size_t most_rows,
                             std::size_t fewest_rows = fewest_held_out, std::size_t most_rounds = 3) {
  for (std::size_t candidates = least.size(); candidates >= 2; --candidates) {
    const Flops needed = *std::max_element(least.begin(), least.begin() + static_cast<std::ptrdiff_t>(candidates));
    for (std::size_t most = most_rounds; most >= 1; --most) {
      std::vector<PilotPlan::Round> rounds = detail::pilot_rounds(candidates, most);
      Flops evaluations = 1;
      for (const auto& round : rounds) evaluations += static_cast<Flops>(round.candidates);
      for (std::size_t rows = most_rows; rows > 0 && rows >= fewest_rows; rows /= 2) {
        const Flops one = evaluation(rows);
        if (one > allowed / 2 / evaluations) continue;  // training has at least half
        const Flops in_round = (allowed - one * evaluations) / static_cast<Flops>(rounds.size());
        for (auto& round : rounds) round.each = in_round / static_cast<Flops>(round.candidates);
        if (rounds.front().each >= needed) return {.rounds = std::move(rounds), .held_out = rows};
      }
    }
  }
  return {};
}

}  // namespace greentrainer
