// finetune: tensors that are drawn, and ratios that change with time.

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

struct Run {
  TemporaryFolder folder;
  std::string data = folder.write("train.jsonl", golden_rows("opt-pre")).string(), output = (folder / "out").string();

  Outcome go(std::vector<std::string> more) const {
    more.insert(more.begin(), {"finetune", "--json", "--model", golden_model("opt-pre"), "--train", data,
                               "--batch-size", "1", "--evaluate", "none", "--output", output});
    return run_program(std::move(more));
  }
  Json report(std::vector<std::string> more) const {
    const Outcome outcome = go(std::move(more));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return outcome.json();
  }
  void refused(std::vector<std::string> more, const std::string& why) const {
    const Outcome outcome = go(std::move(more));
    CAPTURE(outcome.err);
    CHECK(outcome.status == 2);
    CHECK(outcome.error_lines() == 1);
    CHECK(has(outcome.err, why));
  }
};

}  // namespace

TEST_CASE("tensors are drawn on request, otherwise with another seed") {
  const Run run;
  const auto names = [&](const std::string& sampling, const std::string& seed) {
    const Json report = run.report({"--rho", "0.6", "--importance", "magnitude", "--sampling", sampling, "--seed", seed,
                                    "--steps", "6", "--reselect-every", "1s", "--learning-rate", "1e-6"});
    CHECK(report["ratio"].get<double>() <= 0.6);
    Json all = Json::array();
    for (const auto& selection : report["selections"]) all.push_back(selection["names"]);
    return all;
  };
  const Json best = names("off", "1"), drawn = names("importance", "1");
  CHECK(best[0] == best[5]);
  CHECK(drawn != best);
  CHECK(names("importance", "1") == drawn);
  CHECK(names("importance", "2") != drawn);
  run.refused({"--method", "full", "--sampling", "importance"},
              "--sampling: expected not to be given with --method full");
  run.refused({"--sampling", "gumbel"}, "--sampling: expected off or importance, got gumbel");
}

TEST_CASE("ratios change with time, under one budget, and what does not go with them is refused") {
  const Run run;
  const Json report = run.report({"--phases", "1:25%,0.5:75%", "--steps", "8", "--reselect-every", "4s"});
  REQUIRE(report["selections"].size() == 3);
  CHECK(report["selections"][0]["importance"].empty());
  CHECK(report["selections"][1]["step"] == 2);
  CHECK(report["selections"][2]["step"] == 6);
  CHECK(report["ratio"].get<double>() < 0.75);
  CHECK(report["ratio"].get<double>() > 0.45);
  const Json paid = run.report({"--phases", "1:25%,0.5:75%", "--steps", "12", "--budget", "0.5x"});
  CHECK(paid["budget"]["spent"].get<Flops>() <= paid["budget"]["flops"].get<Flops>());

  run.refused({"--phases", "1:25%,0.5:70%"}, "--phases: expected shares of the steps that add up to 1");
  for (const char* bad : {"1", "1:25", "x:100%", "1:100%x", ":100%"})
    run.refused({"--phases", bad}, "--phases: expected values of rho with shares of the steps");
  run.refused({"--phases", "2:100%"}, "--phases: expected ratios of more than 0 and at most 1, got 2");
  run.refused({"--phases", "1:100%", "--rho", "0.5"}, "--rho");
  run.refused({"--phases", "1:100%", "--method", "full"}, "--phases: expected not to be given with --method full");
  run.refused({"--phases", "1:100%", "--memory-limit", "1GiB"},
              "--memory-limit: expected not to be given with a phase");
  run.refused({"--phases", "1:100%", "--frozen-format", "bfloat16", "--importance", "first-order"},
              "--frozen-format: expected not to be given with a phase");
  run.refused({"--phases", "1:100%", "--adapters", "lora"}, "--adapters: expected not to be given with a phase");
  run.refused({"--phases", "0.6:100%", "--importance", "first-order", "--importance-step"},
              "--importance-step: expected not to be given with --phases");
}
