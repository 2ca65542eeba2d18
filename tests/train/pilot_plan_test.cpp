// Pilots before a run: how many candidates are tried, for how long, within a share of the run's FLOPs.

#include "greentrainer/train/pilot_plan.hpp"

#include <vector>

#include <doctest/doctest.h>

using namespace greentrainer;

namespace {

Flops ten_a_row(std::size_t rows) { return 10 * static_cast<Flops>(rows); }

/// All that a plan may spend.
Flops spent(const PilotPlan& plan) {
  Flops sum = ten_a_row(plan.held_out);
  for (const auto& round : plan.rounds)
    sum += static_cast<Flops>(round.candidates) * (round.each + ten_a_row(plan.held_out));
  return sum;
}

}  // namespace

TEST_CASE("pilots never spend more than they are allowed, and each trains for what says anything") {
  const std::vector<Flops> least = {500, 400, 900, 300, 100, 1000, 700};
  std::size_t most = 0;
  for (Flops allowed = 100; allowed < 200'000; allowed += allowed / 7) {
    CAPTURE(allowed);
    const PilotPlan plan = plan_pilots(allowed, least, ten_a_row, 40);
    CHECK(plan.candidates() >= most);  // a larger budget tries no fewer
    most = plan.candidates();
    if (plan.rounds.empty()) continue;
    CHECK(spent(plan) <= allowed);
    CHECK(plan.held_out >= 8);
    CHECK(plan.held_out <= 40);
    CHECK(plan.candidates() >= 2);
    for (std::size_t i = 0; i < plan.candidates(); ++i) CHECK(plan.rounds.front().each >= least[i]);
    for (std::size_t r = 1; r < plan.rounds.size(); ++r) {
      CHECK(plan.rounds[r].candidates == pilot_survivors(plan.rounds[r - 1].candidates));
      CHECK(plan.rounds[r].each >= plan.rounds[r - 1].each);
    }
  }
  CHECK(most == least.size());
}

TEST_CASE("candidates come before rounds, and both before rows") {
  const std::vector<Flops> least = {1000, 1000, 1000, 1000};
  const PilotPlan large = plan_pilots(1'000'000, least, ten_a_row, 64);
  REQUIRE(large.rounds.size() == 2);  // 4, then 2: none follows
  CHECK(large.held_out == 64);
  const PilotPlan small = plan_pilots(5000, least, ten_a_row, 64);
  CHECK(small.candidates() == 4);
  CHECK(small.rounds.size() == 1);
  CHECK(small.held_out < 64);
}

TEST_CASE("nothing is planned where two candidates, or the fewest held-out rows, are too dear") {
  CHECK(plan_pilots(1500, {1000, 1000}, ten_a_row, 64).rounds.empty());
  CHECK(plan_pilots(1'000'000, {1000}, ten_a_row, 64).rounds.empty());
  CHECK(plan_pilots(1'000'000, {}, ten_a_row, 64).rounds.empty());
  CHECK(plan_pilots(1'000'000, {1000, 1000}, ten_a_row, 7).rounds.empty());
  CHECK(plan_pilots(1'000'000, {1000, 1000}, ten_a_row, 8).held_out == 8);
}
