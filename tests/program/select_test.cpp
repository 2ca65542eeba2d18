// greentrainer select: the published sample, and problems that are none.

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

constexpr const char* sample =
    R"({"grad_input": [0,2,1,4,0], "grad_weight": [5,1,7,3,1], "importance": [1,3,10,5,3], "budget": 14.4, "method": "exact"})";

std::string with(std::string problem, const std::string& from, const std::string& to) {
  return problem.replace(problem.find(from), from.size(), to);
}

Outcome select(const std::string& problem) {
  const TemporaryFolder folder;
  return run_program({"select", "--json", "--problem", folder.write("problem.json", problem).string()});
}

}  // namespace

TEST_CASE("select solves the paper's sample") {
  const auto exact = select(sample);
  REQUIRE(exact.status == 0);
  CHECK(exact.err == "");
  CHECK(exact.json() ==
        Json{{"mask", {0, 1, 1, 1, 0}}, {"importance", 18}, {"cost", 14}, {"optimal", true}, {"bound", 18}});

  const auto paper = select(with(sample, "exact", "paper"));
  REQUIRE(paper.status == 0);
  CHECK(paper.json() ==
        Json{{"mask", {0, 1, 1, 0, 0}}, {"importance", 13}, {"cost", 10}, {"optimal", false}, {"bound", nullptr}});

  const auto ratio = select(with(sample, "exact", "ratio")).json();
  CHECK(ratio["cost"].get<double>() <= 14.4);
  CHECK(ratio["importance"].get<double>() <= 18);
  CHECK(ratio["optimal"] == false);
}

TEST_CASE("select refuses what is no problem, in one line that names file and key") {
  struct Case {
    std::string problem, named;
  };
  const std::vector<Case> cases = {{with(sample, "[5,1,7,3,1]", "[5,1,7,3]"), "grad_input"},
                                   {with(sample, "[5,1,7,3,1]", "[5,1,7,3,-1]"), "grad_weight 4"},
                                   {with(sample, "[5,1,7,3,1]", "[5,1,7,3,\"1\"]"), "grad_weight"},
                                   {with(sample, "14.4", "-1"), "budget"},
                                   {with(sample, "14.4", "1e999"), "problem.json"},
                                   {with(sample, "\"exact\"", "\"best\""), "method"},
                                   {with(sample, "\"budget\"", "\"bugdet\""), "did you mean budget?"},
                                   {with(sample, "\"method\": \"exact\"", "\"budget_steps\": 0"), "budget_steps"},
                                   {"[1, 2]", "object"},
                                   {"{", "line 1"}};
  for (const auto& c : cases) {
    CAPTURE(c.problem);
    const auto outcome = select(c.problem);
    CAPTURE(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.out == "");
    CHECK(outcome.error_lines() == 1);
    CHECK(has(outcome.err, c.named));
    CHECK(has(outcome.err, "problem.json"));
  }
}
