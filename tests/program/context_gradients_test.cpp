// greentrainer finetune and plan with gradients that stop at the context.

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/text.hpp"
#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

struct Run {
  TemporaryFolder folder;
  std::string data = folder.write("train.jsonl", rows()).string();

  /// Each golden row five times over.
  static std::string rows() {
    std::string all;
    for (int i = 0; i < 5; ++i) all += golden_rows("llama-gqa-tied");
    return all;
  }
  Outcome run(const std::string& name, std::vector<std::string> more) const {
    more.insert(more.begin(),
                {"finetune", "--json", "--model", golden_model("llama-gqa-tied"), "--train", data, "--epochs", "2",
                 "--batch-size", "2", "--learning-rate", "0.003", "--output", (folder / name).string()});
    return run_program(more);
  }
};

void check_gradients_that_end(const std::string& where, const std::string& said) {
  CAPTURE(where);
  const Run run;
  const Outcome exact = run.run("exact", {"--method", "full"}),
                approximate = run.run(where, {"--method", "full", "--context-gradients", where});
  REQUIRE(exact.status == 0);
  REQUIRE(approximate.status == 0);
  const Json whole = exact.json(), some = approximate.json();
  CHECK(whole["context_gradients"] == "exact");
  CHECK(some["context_gradients"] == where);
  CHECK(approximate.err.find(said + " tokens without a label, 37.5% of all") != std::string::npos);
  CHECK(some["loss_before"] == whole["loss_before"]);
  CHECK(some["loss_after"].get<double>() < some["loss_before"].get<double>());
  CHECK(some["loss_after"] != whole["loss_after"]);
  CHECK(some["flops"]["full"] == whole["flops"]["full"]);
  CHECK(whole["flops"]["train"] == whole["flops"]["full"]);
  CHECK(some["flops"]["train"].get<Flops>() < whole["flops"]["train"].get<Flops>());

  const Outcome planned = run_program({"plan", "--json", "--model", golden_model("llama-gqa-tied"), "--train", run.data,
                                       "--epochs", "2", "--batch-size", "2", "--tokens", "32", "--labelled-tokens", "4",
                                       "--tensors", "*", "--context-gradients", where});
  CAPTURE(planned.err);
  REQUIRE(planned.status == 0);
  CHECK(planned.json()["run"]["total"] == some["flops"]["train"]);
  CHECK(planned.json()["run"]["full"] == some["flops"]["full"]);
  CHECK(planned.json()["full"].get<Flops>() > planned.json()["total"].get<Flops>());
}

}  // namespace

TEST_CASE("gradients that stop at the context: the same loss to start from, fewer FLOPs, said and planned") {
  check_gradients_that_end("none", "they do not go through");
  check_gradients_that_end("keys", "they end at keys and values of");
}

TEST_CASE("a budget pays for more with gradients that stop at the context, and selection works within its ratio") {
  const Run run;
  const auto steps_for = [&](const std::string& gradients) {
    const Outcome outcome = run.run("budget-" + gradients, {"--method", "full", "--budget", "0.6x", "--budget-cuts",
                                                            "steps", "--context-gradients", gradients});
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    CHECK(outcome.json()["budget"]["spent"] == outcome.json()["budget"]["planned"]);
    return outcome.json()["steps"].get<int>();
  };
  CHECK(steps_for("none") > steps_for("exact"));

  const Outcome green = run.run("green", {"--method", "green", "--rho", "0.6", "--context-gradients", "none"});
  CAPTURE(green.err);
  REQUIRE(green.status == 0);
  CHECK(green.json()["flops"]["train"].get<double>() <= 0.6 * green.json()["flops"]["full"].get<double>());
}

TEST_CASE("what a budget leaves becomes an ending with exact gradients, as plan says") {
  const Run run;
  const Outcome ended = run.run("rest", {"--method", "full", "--context-gradients", "keys", "--exact-ending", "rest",
                                         "--budget", "0.85x"}),
                exact = run.run("whole", {"--method", "full", "--context-gradients", "keys", "--exact-ending", "100%"}),
                full = run.run("full", {"--method", "full"});
  CAPTURE(ended.err);
  REQUIRE(ended.status == 0);
  const Json report = ended.json();
  const auto last = report["exact_ending_steps"].get<Extent>();
  CHECK(last > 0);
  CHECK(last < report["steps"].get<Extent>());
  CHECK(report["budget"]["ending_steps"] == last);
  CHECK(report["budget"]["spent"] == report["budget"]["planned"]);
  CHECK(ended.err.find(text("the last ", last, " with exact gradients")) != std::string::npos);
  CHECK(ended.err.find("gradients are approximate until the ending") != std::string::npos);
  CHECK(exact.json()["loss_after"] == full.json()["loss_after"]);
  CHECK(exact.json()["flops"]["train"] == full.json()["flops"]["train"]);

  const auto planned = [&](const std::string& ending) {
    const Outcome outcome = run_program({"plan",
                                         "--json",
                                         "--model",
                                         golden_model("llama-gqa-tied"),
                                         "--batch-size",
                                         "2",
                                         "--tokens",
                                         "32",
                                         "--labelled-tokens",
                                         "4",
                                         "--tensors",
                                         "*",
                                         "--context-gradients",
                                         "keys",
                                         "--budget",
                                         "0.9x",
                                         "--steps",
                                         "40",
                                         "--exact-ending",
                                         ending});
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return outcome.json()["budget"];
  };
  CHECK(planned("none")["ending_steps"] == 0);
  CHECK(planned("25%")["ending_steps"] == 10);
  const Json rest = planned("rest");
  CHECK(rest["ending_steps"].get<Extent>() > 10);
  CHECK(rest["planned"].get<Flops>() <= rest["flops"].get<Flops>());
  CHECK(planned(text(100.0 * (rest["ending_steps"].get<double>() + 1) / 40, "%"))["steps"].get<Extent>() < 40);
}

TEST_CASE("an ending is refused where nothing could begin with it") {
  const Run run;
  const auto refused = [&](std::vector<std::string> more, const std::string& words) {
    const Outcome outcome = run.run("refused", std::move(more));
    CHECK(outcome.status == 2);
    CHECK_MESSAGE(outcome.err.find(words) != std::string::npos, outcome.err);
  };
  refused({"--method", "full", "--exact-ending", "30%"}, "--exact-ending: expected --context-gradients");
  refused({"--method", "full", "--context-gradients", "keys", "--exact-ending", "rest"}, "--budget in FLOPs");
  refused({"--method", "full", "--context-gradients", "keys", "--exact-ending", "rest", "--budget", "20min"}, "20min");
  refused({"--method", "full", "--context-gradients", "keys", "--exact-ending", "0.3"}, "got 0.3");
  refused({"--method", "green", "--context-gradients", "keys", "--exact-ending", "30%"}, "--method green");
  refused({"--method", "full", "--context-gradients", "keys", "--exact-ending", "30%", "--prefix-cache", "memory"},
          "--prefix-cache");
}

TEST_CASE("an encoder-decoder is refused, and so is a plan at the published prices") {
  const TemporaryFolder folder;
  const std::string data = folder.write("train.jsonl", golden_rows("t5-tied-relu")).string();
  const Outcome t5 = run_program({"finetune", "--model", golden_model("t5-tied-relu"), "--train", data, "--method",
                                  "full", "--context-gradients", "none", "--output", (folder / "out").string()});
  CHECK(t5.status == 1);
  CHECK(t5.err.find("expected a decoder alone") != std::string::npos);
  CHECK(!std::filesystem::exists(folder / "out"));

  const Outcome paper =
      run_program({"plan", "--model", golden_model("opt-pre"), "--cost-model", "paper", "--context-gradients", "none"});
  CHECK(paper.status == 2);
}
