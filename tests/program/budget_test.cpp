// greentrainer finetune --budget: said before the start, kept to the FLOP, and repeatable by hand.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdlib.h>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/energy_meter.hpp"
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
  // Phases, whose price is a bound, where tensors are chosen for nothing. As many rows as batches of 3 divide.
  run.folder.write("equal.jsonl", rows + rows + rows);
  std::vector<std::string> trained = {
      "finetune",    "--train",    data,   "--output",     (run.folder / "out").string(),
      "--overwrite", "--evaluate", "none", "--importance", "random"};
  std::vector<std::string> planned = {"plan", "--tokens", "8", "--labelled-tokens", "7"};
  for (auto* arguments : {&trained, &planned}) {
    arguments->insert(arguments->end(), {"--json", "--model", golden_model("opt-pre"), "--steps", "20", "--phases",
                                         "1:20%,0.6:80%", "--budget", "0.55x"});
  }
  const Outcome training = run_program(trained), plan = run_program(planned);
  REQUIRE_MESSAGE(training.status == 0, training.err);
  REQUIRE_MESSAGE(plan.status == 0, plan.err);
  const Json priced = plan.json();
  for (const char* field : {"flops", "steps", "batch_size", "planned", "exact", "full"}) {
    CAPTURE(field);
    CHECK(priced["budget"][field] == training.json()["budget"][field]);
  }
  CHECK(priced["phases_most"] == priced["budget"]["planned"]);
  const auto error = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"plan", "--model", golden_model("opt-pre")});
    return run_program(more).err;
  };
  CHECK(error({"--budget", "0.5x"}).find("--steps: expected a value, got none") != std::string::npos);
  CHECK(error({"--budget", "5", "--steps", "4"}).find("[plan] --budget: expected FLOPs") != std::string::npos);
  CHECK(error({"--steps", "4"}).find("--steps: expected not to be given with a plan without --budget") !=
        std::string::npos);
}

TEST_CASE("method auto is LoRA on all linear layers, gradients to the context's keys; what is given stays") {
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
  CHECK(chosen.err.find("method auto: --method lora --lora-targets all-linear --context-gradients keys --exact-ending "
                        "rest --learning-rate 0.001\n") != std::string::npos);
  const Outcome by_hand = train("by-hand", {"--method", "lora", "--lora-targets", "all-linear", "--learning-rate",
                                            "1e-3", "--context-gradients", "keys", "--exact-ending", "rest"});
  CHECK(by_hand.json()["is_auto"] == false);
  CHECK(by_hand.json()["loss_after"] == chosen.json()["loss_after"]);
  CHECK(by_hand.json()["budget"] == chosen.json()["budget"]);
  const Outcome given = train("given", {"--method", "auto", "--lora-targets", "fc1", "--learning-rate", "2e-3"});
  CHECK(given.json()["selections"][0]["names"].size() == 4);
  CHECK(given.err.find("--lora-targets fc1 --context-gradients keys --exact-ending rest --learning-rate 0.002\n") !=
        std::string::npos);
  const Outcome exact = train("exact", {"--method", "auto", "--context-gradients", "exact"});
  CHECK(exact.json()["context_gradients"] == "exact");
}

TEST_CASE("method auto leaves an encoder-decoder's gradients exact, since its encoder has no labels") {
  const Run run;
  const Outcome outcome = run_program({"finetune", "--json", "--model", golden_model("t5-tied-relu"), "--train",
                                       run.folder.write("pairs.jsonl", golden_rows("t5-tied-relu")).string(), "--steps",
                                       "1", "--method", "auto", "--output", (run.folder / "out").string()});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  CHECK(outcome.json()["method"] == "lora");
  CHECK(outcome.json()["context_gradients"] == "exact");
  CHECK(outcome.err.find("context-gradients") == std::string::npos);
}

TEST_CASE("a budget in time is planned by measured times, which are kept, said and reported") {
  const Run run;
  const TemporaryFolder cache;
  ::setenv("XDG_CACHE_HOME", (cache / "").c_str(), 1);
  const auto kept = [&] {
    std::vector<std::filesystem::path> files;
    if (std::filesystem::exists(cache / "greentrainer")) {
      for (const auto& entry : std::filesystem::directory_iterator(cache / "greentrainer"))
        files.push_back(entry.path());
    }
    return files;
  };
  const Outcome first = run.run("first", {"--method", "full", "--budget", "2h"});
  REQUIRE_MESSAGE(first.status == 0, first.err);
  CHECK(first.err.find("times of operators measured in ") != std::string::npos);
  CHECK(first.err.find("budget 7200.0 s: ") != std::string::npos);
  const Json budget = first.json()["budget"];
  CHECK(budget["seconds"] == 7200);
  CHECK(budget["flops"].is_null());
  CHECK(budget["planned_seconds"].get<double>() > 0);
  CHECK(budget["spent_seconds"].get<double>() > 0);
  CHECK(budget["ended"] == "steps");
  const Outcome whole = run.run("whole", {"--method", "full"});
  CHECK(first.json()["loss_after"] == whole.json()["loss_after"]);  // the budget pays for all
  REQUIRE(kept().size() == 1);

  const Outcome second = run.run("second", {"--method", "green", "--rho", "0.9", "--budget", "2h"});
  REQUIRE_MESSAGE(second.status == 0, second.err);
  CHECK(second.err.find("times of operators from " + kept().front().string()) != std::string::npos);
  CHECK(second.json()["selections"][0]["unit"] == "ps");

  std::ofstream(kept().front()) << "{\"format\": 3}";
  const Outcome third = run.run("third", {"--method", "full", "--budget", "2h"});
  REQUIRE_MESSAGE(third.status == 0, third.err);
  CHECK(third.err.find("note: kept times are not used: ") != std::string::npos);
  CHECK(third.err.find("times of operators measured in ") != std::string::npos);
  CHECK(contents(kept().front()).find("\"parts\"") != std::string::npos);

  const Outcome short_of = run.run("short", {"--method", "full", "--budget", "1e-9s"});
  CHECK(short_of.status == 1);
  CHECK(short_of.err.find("--budget: expected at least ") != std::string::npos);
  CHECK(short_of.err.find(" seconds, which the first step on a batch of 1 is expected to take") != std::string::npos);

  const Outcome plan = run_program({"plan", "--model", golden_model("opt-pre"), "--steps", "9", "--budget", "20min"});
  CHECK(plan.status == 2);
  CHECK(plan.err.find("time is planned by finetune, which measures it") != std::string::npos);
  ::unsetenv("XDG_CACHE_HOME");
}

TEST_CASE("a calibration says what each kind of operator takes, and keeps it") {
  const Run run;
  const TemporaryFolder cache;
  ::setenv("XDG_CACHE_HOME", (cache / "").c_str(), 1);
  const Outcome outcome = run_program({"calibrate", "--model", golden_model("opt-pre"), "--train", run.data, "--json"});
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  const Json json = outcome.json();
  double sum = 0;
  for (const Json& kind : json["operators"])
    sum += kind["forward_seconds"].get<double>() + kind["backward_seconds"].get<double>();
  CHECK(sum > 0);
  CHECK(json["pass_seconds"].get<double>() >= sum);
  CHECK(json["update_seconds"].get<double>() > 0);
  CHECK(std::filesystem::exists(cache / "greentrainer"));
  ::setenv("XDG_CACHE_HOME", "/dev/null", 1);
  const Outcome nowhere = run_program({"calibrate", "--model", golden_model("opt-pre"), "--train", run.data});
  CHECK(nowhere.status == 0);
  CHECK(nowhere.err.find("note: times are not kept: ") != std::string::npos);
  CHECK(nowhere.out.find("a pass of full fine-tuning over a batch of ") != std::string::npos);
  ::unsetenv("XDG_CACHE_HOME");
}

TEST_CASE("a budget in joules is measured, or refused by name before anything is read; grams come of joules alone") {
  const Run run;
  const TemporaryFolder cache;
  ::setenv("XDG_CACHE_HOME", (cache / "").c_str(), 1);
  EnergyMeter meter;
  const Outcome outcome = run.run("joules", {"--method", "full", "--budget", "2kWh", "--carbon-intensity", "400"});
  const Outcome without = run.run("without", {"--method", "full", "--carbon-intensity", "400"});
  REQUIRE_MESSAGE(without.status == 0, without.err);
  const Json energy = without.json()["energy"];
  CHECK(energy["carbon_intensity"] == 400);
  if (meter.joules()) {
    CHECK(energy["carbon_grams"].get<double>() ==
          doctest::Approx(energy["joules"].get<double>() / 3.6e6 * 400).epsilon(1e-9));
    CHECK((outcome.status == 0 || outcome.err.find("too short for its counters") != std::string::npos));
  } else {
    CHECK(outcome.status == 1);
    CHECK(outcome.error_lines() == 1);
    CHECK(outcome.err.find("[finetune] --budget: expected energy that can be measured for a budget in joules, got "
                           "none: " +
                           meter.problem()) != std::string::npos);
    CHECK(energy["joules"].is_null());
    CHECK(energy["carbon_grams"].is_null());
    CHECK(energy["reason"] == meter.problem());
  }
  const Outcome plan = run_program({"plan", "--model", golden_model("opt-pre"), "--steps", "9", "--budget", "50kJ"});
  CHECK(plan.status == 2);
  CHECK(plan.err.find("energy is planned by finetune, which measures it") != std::string::npos);
  ::unsetenv("XDG_CACHE_HOME");
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
    CHECK(error({"--budget", wrong}).find("--budget: expected FLOPs such as 40TFLOP, a share") != std::string::npos);
  }
  for (const std::string wrong : {"0s", "-1min", "1e9h", "20minutes", "20 min", "0J", "-5kJ", "5 kJ", "1e30Wh", "5mJ"})
    CHECK(error({"--budget", wrong}).find("or energy such as 50kJ, got " + wrong) != std::string::npos);
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
