// finetune with evaluations on the way: what is saved is the best state, by the metric that was asked for, and the
// report says so.

#include <algorithm>
#include <sstream>
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
  std::string model, train, validation;
  std::string output = (folder / "tuned").string();

  Run(std::string of, const std::string& training_rows, const std::string& validation_rows)
      : model(std::move(of)),
        train(folder.write("train.jsonl", training_rows).string()),
        validation(folder.write("validation.jsonl", validation_rows).string()) {}

  Outcome go(std::vector<std::string> more) const {
    more.insert(more.begin(), {"finetune", "--model", model, "--train", train, "--output", output, "--method", "full",
                               "--batch-size", "1", "--save-dtype", "float32"});
    return run_program(std::move(more));
  }
  std::vector<Json> metrics() const {
    std::vector<Json> all;
    std::istringstream lines(contents(folder / "tuned/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) all.push_back(parse_json(line, "metrics.jsonl"));
    return all;
  }
  Json evaluate(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"evaluate", "--json", "--model", output, "--data", validation});
    const Outcome outcome = run_program(std::move(more));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return outcome.json();
  }
};

/// A golden model's rows: the first to evaluate, the others to train.
Run golden_run() {
  const std::string rows = golden_rows("opt-pre");
  const std::size_t end = rows.find('\n') + 1;
  return {golden_model("opt-pre"), rows.substr(end), rows.substr(0, end)};
}

}  // namespace

TEST_CASE("the state of the least loss is saved, and report, metrics and saved folder agree on it") {
  const Run run = golden_run();
  const Outcome outcome = run.go({"--validation", run.validation, "--steps", "12", "--learning-rate", "0.02",
                                  "--evaluate-every", "1s", "--keep-best", "loss", "--json"});
  CAPTURE(outcome.err);
  REQUIRE(outcome.status == 0);
  CHECK(has(outcome.err, "every 1 steps"));
  CHECK(has(outcome.err, ", the best so far"));
  const Json report = outcome.json();
  REQUIRE(report["evaluations"].size() == 13);
  Json best = report["evaluations"][1];
  for (std::size_t i = 2; i < 13; ++i) {
    if (report["evaluations"][i]["loss"] < best["loss"]) best = report["evaluations"][i];
  }
  CHECK(report["kept"]["step"] == best["step"]);
  CHECK(report["kept"]["loss"] == best["loss"]);
  CHECK(report["kept"]["by"] == "loss");
  CHECK(report["loss_after"] == best["loss"]);
  CHECK(report["loss_before"] == report["evaluations"][0]["loss"]);
  CHECK(run.evaluate()["loss"].get<double>() == doctest::Approx(best["loss"].get<double>()).epsilon(1e-6));

  std::string when;
  Json after;
  for (const Json& line : run.metrics()) {
    if (line["event"] != "evaluation") continue;
    when += line["when"].get<std::string>().substr(0, 2) + ' ';
    after = line;
  }
  CHECK(when == "be on on on on on on on on on on on on af ");
  CHECK(after["step"] == best["step"]);
  CHECK(after["loss"] == best["loss"]);
}

TEST_CASE("a run without a better evaluation ends early, and says so") {
  const Run run = golden_run();
  const Outcome outcome = run.go({"--validation", run.validation, "--steps", "200", "--learning-rate", "0.05",
                                  "--evaluate-every", "1s", "--keep-best", "loss", "--patience", "3", "--json"});
  CAPTURE(outcome.err);
  REQUIRE(outcome.status == 0);
  const Json report = outcome.json();
  REQUIRE(report["steps"].get<Extent>() < 200);
  CHECK(report["kept"]["patience_over"] == true);
  CHECK(report["steps"].get<Extent>() == report["kept"]["step"].get<Extent>() + 3);
  CHECK(has(run.go({"--validation", run.validation, "--steps", "200", "--learning-rate", "0.05", "--evaluate-every",
                    "1s", "--keep-best", "loss", "--patience", "3"})
                .out,
            "ended after 3 without a better one"));
}

TEST_CASE("answers that are generated, and labels that are chosen, are compared as evaluate does") {
  const std::string stories = source_path("examples/data/stories260k").string();
  const Run answers(stories,
                    "{\"prompt\": \"A dog\", \"completion\": \" ran to the red ball.\"}\n"
                    "{\"prompt\": \"A cat\", \"completion\": \" ran to the red ball.\"}\n",
                    "{\"prompt\": \"A boy\", \"completion\": \" ran to the red ball.\"}\n"
                    "{\"prompt\": \"A bird\", \"completion\": \" ran to the red ball.\"}\n");
  const Outcome generated =
      answers.go({"--validation", answers.validation, "--steps", "6", "--learning-rate", "0.003", "--evaluate-every",
                  "2s", "--keep-best", "rouge1", "--evaluation-tokens", "8", "--json"});
  CAPTURE(generated.err);
  REQUIRE(generated.status == 0);
  const Json kept = generated.json()["kept"];
  CHECK(kept["rouge1"] == answers.evaluate({"--generate", "--max-new-tokens", "8"})["rouge"]["rouge1"]);
  CHECK(kept["rouge1"] > generated.json()["evaluations"][0]["rouge1"]);

  const std::string rows =
      "{\"goal\": \"Play\", \"sol1\": \"The dog ran.\", \"sol2\": \"Red red red red.\", \"label\": 0}\n"
      "{\"goal\": \"Sleep\", \"sol1\": \"Big big the the.\", \"sol2\": \"She went to bed.\", \"label\": 1}\n"
      "{\"goal\": \"Eat\", \"sol1\": \"She ate the apple.\", \"sol2\": \"Ball to to was.\", \"label\": 1}\n";
  const Run choices(stories, rows, rows);
  const Outcome chosen = choices.go({"--validation", choices.validation, "--dataset", "piqa", "--steps", "3",
                                     "--evaluate-every", "1s", "--keep-best", "accuracy", "--json"});
  CAPTURE(chosen.err);
  REQUIRE(chosen.status == 0);
  CHECK(chosen.json()["kept"]["accuracy"] == choices.evaluate({"--dataset", "piqa"})["accuracy"]);
  CHECK(chosen.json()["evaluations"][0].contains("accuracy"));
}

TEST_CASE("evaluations on the way that cannot be made, or serve nothing, are refused before anything is read") {
  const Run run = golden_run();
  const auto refused = [&](std::vector<std::string> options, const char* why) {
    CAPTURE(why);
    const Outcome outcome = run.go(std::move(options));
    CAPTURE(outcome.err);
    CHECK(outcome.status == 2);
    CHECK(has(outcome.err, why));
  };
  const std::string& rows = run.validation;
  refused({"--evaluate-every", "10min"}, "--evaluate-every: expected a number of epochs or steps");
  refused({"--keep-best", "loss", "--validation", rows}, "--keep-best: expected not to be given with training without");
  refused({"--keep-best", "loss", "--evaluate-every", "1e"}, "--keep-best: expected --validation beside it");
  refused({"--patience", "2", "--evaluate-every", "1e"}, "--patience: expected not to be given with training without");
  refused({"--evaluation-tokens", "2", "--evaluate-every", "1e", "--keep-best", "loss", "--validation", rows},
          "--evaluation-tokens: expected not to be given with --keep-best loss");
  refused({"--keep-best", "accuracy", "--evaluate-every", "1e", "--validation", rows},
          "--keep-best: expected a --dataset whose labels are chosen from for accuracy");
  refused({"--keep-best", "f1", "--evaluate-every", "1e", "--validation", rows},
          "--keep-best: expected a --dataset of questions and answers for f1");
  refused({"--keep-best", "rouge1", "--evaluate-every", "1e", "--validation", rows, "--dataset", "piqa"},
          "--keep-best: expected data of summaries or completions for rouge1");
  refused({"--keep-best", "loss", "--evaluate-every", "1e", "--validation", rows, "--memory-limit", "1GiB"},
          "--memory-limit: expected not to be given with --keep-best");
}
