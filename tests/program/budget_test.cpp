// greentrainer finetune --budget: said before the start, kept to the FLOP, and repeatable by hand.

#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

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
    for (int i = 0; i < 5; ++i) all += golden_rows("opt-pre");
    return all;
  }
  Outcome run(const std::string& name, std::vector<std::string> more) const {
    more.insert(more.begin(), {"finetune", "--json", "--model", golden_model("opt-pre"), "--train", data,
                               "--learning-rate", "0.003", "--output", (folder / name).string()});
    if (std::find(more.begin(), more.end(), "--steps") == more.end()) more.insert(more.end(), {"--epochs", "2"});
    return run_program(more);
  }
  Json report(const std::string& name, std::vector<std::string> more) const {
    const Outcome outcome = run(name, std::move(more));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return outcome.json();
  }
};

Flops spent(const Json& report) {
  const Json& flops = report["flops"];
  return flops["train"].get<Flops>() + flops["importance"].get<Flops>() + flops["optimizer"].get<Flops>();
}

}  // namespace

TEST_CASE("half of full fine-tuning's FLOPs: on smaller batches, or for fewer steps, as the same run by hand") {
  const Run run;
  const Json full = run.report("full", {"--method", "full"});
  CHECK(full["budget"].is_null());
  for (const std::string cuts : {"batch", "steps"}) {
    CAPTURE(cuts);
    const Json half = run.report("half-" + cuts, {"--method", "full", "--budget", "0.5x", "--budget-cuts", cuts});
    const Json& budget = half["budget"];
    CHECK(budget["full"] == spent(full));
    CHECK(budget["flops"] == spent(full) / 2);
    CHECK(budget["planned"] == spent(half));
    CHECK(budget["spent"] == spent(half));
    CHECK(budget["exact"] == true);
    CHECK(budget["ended"] == "steps");
    CHECK(spent(half) <= spent(full) / 2);
    CHECK(half["steps"] == budget["steps"]);
    CHECK(budget["batch_size"] == (cuts == "batch" ? 2 : 4));
    CHECK(half["steps"] == (cuts == "batch" ? 7 : 4));  // of 8

    const Json by_hand = run.report("by-hand-" + cuts, {"--method", "full", "--steps", budget["steps"].dump(),
                                                        "--batch-size", budget["batch_size"].dump()});
    CHECK(by_hand["loss_after"] == half["loss_after"]);
    CHECK(by_hand["flops"]["train"] == half["flops"]["train"]);
  }
}

TEST_CASE("a plan is said before the start, and a budget stands beside --rho and beside LoRA") {
  const Run run;
  const Outcome green = run.run("green", {"--rho", "0.6", "--importance", "first-order", "--budget", "0.7x"});
  REQUIRE_MESSAGE(green.status == 0, green.err);
  const Json report = green.json();
  CHECK(report["ratio"].get<double>() <= 0.6);
  CHECK(report["budget"]["exact"] == false);
  CHECK(report["budget"]["spent"] == spent(report));
  CHECK(spent(report) <= report["budget"]["planned"].get<Flops>());
  CHECK(report["budget"]["planned"].get<Flops>() <= report["budget"]["flops"].get<Flops>());
  const std::size_t said = green.err.find("0.700 of full fine-tuning: ");
  REQUIRE(said != std::string::npos);
  CHECK(said < green.err.find("evaluating "));
  CHECK(green.err.find(" steps, batch size ") != std::string::npos);

  const Json lora = run.report("lora", {"--method", "lora", "--lora-targets", "all-linear", "--lora-r", "2", "--budget",
                                        std::to_string(report["budget"]["flops"].get<Flops>()) + "FLOP"});
  CHECK(lora["budget"]["flops"] == report["budget"]["flops"]);
  CHECK(lora["budget"]["planned"] == spent(lora));
  CHECK(lora["selections"][0]["names"].size() == 24);
}

TEST_CASE("plan says of equal rows what finetune does with them") {
  const Run run;
  std::string rows;  // 20 rows of 8 tokens, all but the first of which are labels
  for (int i = 0; i < 20; ++i)
    rows += R"({"input_ids": [5, 6, 7, 8, 9, 10, 11, 12], "labels": [5, 6, 7, 8, 9, 10, 11, 12]})"
            "\n";
  const std::string data = run.folder.write("equal.jsonl", rows).string();
  for (const std::string cuts : {"batch", "steps"}) {
    for (const bool all : {true, false}) {
      std::vector<std::string> trained = {"finetune",
                                          "--train",
                                          data,
                                          "--output",
                                          (run.folder / "out").string(),
                                          "--overwrite",
                                          "--method",
                                          all ? "full" : "listed"};
      std::vector<std::string> planned = {"plan", "--tokens", "8", "--labelled-tokens", "7"};
      for (auto* arguments : {&trained, &planned}) {
        arguments->insert(arguments->end(), {"--json", "--model", golden_model("opt-pre"), "--steps", "5", "--budget",
                                             "0.55x", "--budget-cuts", cuts});
        if (!all) arguments->insert(arguments->end(), {"--tensors", "*.fc2.*"});
      }
      const Outcome training = run_program(trained), plan = run_program(planned);
      REQUIRE_MESSAGE(training.status == 0, training.err);
      REQUIRE_MESSAGE(plan.status == 0, plan.err);
      for (const char* field : {"flops", "steps", "batch_size", "planned", "full"}) {
        CAPTURE(field);
        CHECK(plan.json()["budget"][field] == training.json()["budget"][field]);
      }
      CHECK(plan.json()["budget"]["planned"] == spent(training.json()));
    }
  }
  const auto error = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"plan", "--model", golden_model("opt-pre")});
    return run_program(more).err;
  };
  CHECK(error({"--budget", "0.5x"}).find("--steps: expected a value, got none") != std::string::npos);
  CHECK(error({"--budget", "5", "--steps", "4"}).find("[plan] --budget: expected FLOPs") != std::string::npos);
  CHECK(error({"--steps", "4"}).find("--steps: expected not to be given with a plan without --budget") !=
        std::string::npos);
}

TEST_CASE("method auto is LoRA on all linear layers at its own rate, and says so; what is given stays") {
  const Run run;
  const std::vector<std::string> common = {"finetune", "--json", "--model",  golden_model("opt-pre"),
                                           "--train",  run.data, "--epochs", "2",
                                           "--budget", "0.5x"};
  const auto train = [&](const std::string& name, std::vector<std::string> more) {
    more.insert(more.begin(), common.begin(), common.end());
    more.insert(more.end(), {"--output", (run.folder / name).string()});
    const Outcome outcome = run_program(more);
    REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
    return outcome;
  };
  const Outcome chosen = train("auto", {"--method", "auto"});
  CHECK(chosen.json()["method"] == "lora");
  CHECK(chosen.json()["is_auto"] == true);
  CHECK(chosen.err.find("method auto: --method lora --lora-targets all-linear --learning-rate 0.001\n") !=
        std::string::npos);
  const Outcome by_hand =
      train("by-hand", {"--method", "lora", "--lora-targets", "all-linear", "--learning-rate", "1e-3"});
  CHECK(by_hand.json()["is_auto"] == false);
  CHECK(by_hand.json()["loss_after"] == chosen.json()["loss_after"]);
  CHECK(by_hand.json()["budget"] == chosen.json()["budget"]);
  const Outcome given = train("given", {"--method", "auto", "--lora-targets", "fc1", "--learning-rate", "2e-3"});
  CHECK(given.json()["selections"][0]["names"].size() == 4);
  CHECK(given.err.find("--lora-targets fc1 --learning-rate 0.002\n") != std::string::npos);
}

TEST_CASE("budgets that are none are refused by name, before anything is read") {
  const Run run;
  const auto error = [&](std::vector<std::string> more) {
    const Outcome outcome = run.run("none", std::move(more));
    CHECK(outcome.status == 2);
    CHECK(outcome.error_lines() == 1);
    return outcome.err;
  };
  for (const std::string wrong :
       {"40", "0x", "-1x", "x", "TFLOP", "40 TFLOP", "40TFLOPS", "nanx", "infx", "1e30FLOP", "0.2FLOP", "1e9x"}) {
    CAPTURE(wrong);
    CHECK(error({"--budget", wrong}).find("--budget: expected FLOPs such as 40TFLOP, or a share") != std::string::npos);
  }
  CHECK(error({"--budget", "20min"}).find("20min; a budget of time is not supported yet") != std::string::npos);
  CHECK(error({"--budget", "50kJ"}).find("50kJ; a budget of energy is not supported yet") != std::string::npos);
  CHECK(error({"--budget-cuts", "steps"})
            .find("--budget-cuts: expected not to be given with training without --budget") != std::string::npos);
  CHECK(error({"--budget", "0.5x", "--memory-limit", "1GiB"})
            .find("--memory-limit: expected not to be given with --budget") != std::string::npos);
  CHECK(error({"--budget", "0.5x", "--importance", "first-order", "--importance-step"})
            .find("--importance-step: expected not to be given with --budget") != std::string::npos);
  CHECK(error({"--memory-limit", "1GiB", "--importance", "first-order", "--importance-step"})
            .find("--importance-step: expected not to be given with --memory-limit") != std::string::npos);
  const Outcome small = run.run("none", {"--method", "full", "--budget", "1kFLOP"});
  CHECK(small.status == 1);
  CHECK(small.err.find("--budget: expected at least ") != std::string::npos);
  CHECK(small.err.find("which the first step on a batch of 1 takes, got 1000") != std::string::npos);
}
