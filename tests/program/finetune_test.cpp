// greentrainer finetune and evaluate, end to end on a tiny model: the report's fields, the output, determinism,
// interruption.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <sstream>
#include <thread>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "greentrainer/io/safetensors.hpp"
#include "greentrainer/models/t5.hpp"
#include "program/tiny_run.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("the step at which tensors are chosen can train everything, within the ratio") {
  const TinyRun run;
  const auto report = run.report(
      {"--rho", "0.7", "--epochs", "6", "--reselect-every", "3e", "--importance", "first-order", "--importance-step"});
  CHECK(report["ratio"].get<double>() <= 0.7);
  CHECK(report["ratio"].get<double>() > 0.6);
  REQUIRE(report["selections"].size() == 2);
  CHECK(report["selections"][0]["step"] == 1);
  CHECK(report["selections"][1]["step"] == 7);
  CHECK(report["selections"][0]["optimal"] == true);
  CHECK(report["selections"][0]["gap"] == 0);
  const auto metric = run_program(run.arguments({"--importance-step"}));  // the paper's needs moved weights
  CHECK(metric.status != 0);
  CHECK(metric.err.find("--importance-step") != std::string::npos);
  CHECK(metric.err.find("first-order") != std::string::npos);
  CHECK(run_program(run.arguments({"--method", "full", "--importance-step"})).status == 2);
}

TEST_CASE("finetune reports what it did, and evaluate finds it in the output") {
  const TinyRun run;
  const auto report = run.report({"--rho", "0.6", "--epochs", "10", "--reselect-every", "4e"});
  for (const char* field : {"loss_before", "loss_after", "steps", "tokens", "labelled_tokens", "rows_dropped",
                            "rows_truncated", "ratio", "ratio_all_in", "peak_memory_bytes"}) {
    CAPTURE(field);
    CHECK(report.at(field).is_number());
  }
  for (const char* field : {"train", "importance", "optimizer", "evaluation", "full"})
    CHECK(report.at("flops").at(field).get<Flops>() > 0);
  for (const char* field :
       {"load", "importance", "selection", "forward", "backward", "optimizer", "evaluation", "save", "total"}) {
    CHECK(report.at("seconds").at(field).is_number());
  }
  const Json& energy =
      report.at("energy");  // a number or a reason, as this machine allows; grams without intensity never
  CHECK(energy.at("joules").is_null() == energy.at("reason").is_string());
  CHECK(energy.at("joules").is_null() == energy.at("training_joules").is_null());
  CHECK(energy.at("carbon_grams").is_null());
  CHECK(report["steps"] == 20);  // 3 rows in batches of 2
  CHECK(report["tokens"] == 240);
  CHECK(report["loss_after"].get<double>() < 0.9 * report["loss_before"].get<double>());
  CHECK(report["ratio"].get<double>() <= 0.6);
  CHECK(report["ratio"].get<double>() > 0.4);
  CHECK(report["ratio_all_in"].get<double>() > report["ratio"].get<double>());
  REQUIRE(report["selections"].size() == 3);
  const Json& second = report["selections"][1];
  CHECK(second["step"] == 8);
  CHECK(second["names"].size() > 0);
  CHECK(second["importance"].size() == 36);
  CHECK(second["cost"].get<Flops>() <= second["budget"].get<Flops>());

  const auto before =
      run_program({"evaluate", "--json", "--model", golden_model("opt-pre"), "--data", run.data}).json();
  CHECK(before["loss"].get<double>() == doctest::Approx(report["loss_before"].get<double>()).epsilon(1e-6));
  const double published = read_json_file(golden_model("opt-pre") + "/golden.json")["loss"].get<double>();
  CHECK(before["loss"].get<double>() == doctest::Approx(published).epsilon(1e-6));
  const auto after = run_program({"evaluate", "--json", "--model", run.output, "--data", run.data}).json();
  CHECK(after["loss"].get<double>() == doctest::Approx(report["loss_after"].get<double>()).epsilon(1e-6));
  CHECK(after["perplexity"].get<double>() == doctest::Approx(std::exp(after["loss"].get<double>())));
  REQUIRE(after["examples"].size() == 3);
  double sum = 0;
  Extent tokens = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(after["examples"][i]["line"] == i + 1);
    sum += after["examples"][i]["loss"].get<double>() * after["examples"][i]["tokens"].get<double>();
    tokens += after["examples"][i]["tokens"].get<Extent>();
  }
  CHECK(after["tokens"] == tokens);
  CHECK(after["loss"].get<double>() == doctest::Approx(sum / static_cast<double>(tokens)));

  std::size_t steps = 0, selections = 0;
  std::istringstream metrics(contents(run.output + "/metrics.jsonl"));
  for (std::string line; std::getline(metrics, line);) {
    const auto json = parse_json(line, "metrics.jsonl");
    steps += json["event"] == "step" ? 1 : 0;
    selections += json["event"] == "selection" ? 1 : 0;
  }
  CHECK(steps == 20);
  CHECK(selections == 3);
  CHECK(run.folder.entries() == 2);  // the data and the output: nothing else is left
}

TEST_CASE("the same seed gives the same bytes for any number of threads") {
  const TinyRun run;
  const auto weights = [&](const std::string& name, const std::string& seed, const std::string& threads) {
    const auto output = (run.folder / name).string();
    run.report({"--rho", "0.6", "--epochs", "3", "--seed", seed, "--threads", threads, "--output", output});
    return contents(output + "/model.safetensors");
  };
  const auto one = weights("one", "7", "1");
  CHECK(one.size() > 0);
  CHECK(weights("three", "7", "3") == one);
  CHECK(weights("other", "8", "1") != one);
}

TEST_CASE("every method trains, and what it does not train stays as it was") {
  const TinyRun run;
  const SafetensorsFile before(golden_model("opt-pre") + "/model.safetensors");
  struct Case {
    std::vector<std::string> options;
    std::size_t trained;
  };
  const std::vector<Case> cases = {
      {{"--method", "full"}, 36},
      {{"--method", "top2"}, 32},
      {{"--method", "last:1"}, 16},
      {{"--method", "bitfit"}, 17},
      {{"--method", "layernorm"}, 10},
      {{"--method", "listed", "--tensors", "*.fc1.weight,*embed_tokens*"}, 3},
      {{"--method", "listed", "--tensors", "*.fc1.weight", "--optimizer", "sgd", "--momentum", "0.9"}, 2},
      {{"--method", "listed", "--tensors", "*.fc1.weight", "--optimizer", "lion"}, 2},
      {{"--method", "listed", "--tensors", "*.fc1.weight", "--optimizer", "rmsprop", "--momentum", "0.9"}, 2},
      {{"--method", "listed", "--tensors", "*.fc1.weight", "--optimizer", "adafactor"}, 2}};
  for (const auto& c : cases) {
    CAPTURE(c.options);
    auto options = c.options;
    options.insert(options.end(), {"--steps", "4"});
    const auto report = run.report(options);
    REQUIRE(report["selections"].size() == 1);
    const auto& names = report["selections"][0]["names"];
    CHECK(names.size() == c.trained);
    CHECK(report["flops"]["importance"] == 0);
    CHECK((report["ratio"].get<double>() == 1.0) == (c.trained == 36));
    const SafetensorsFile after(run.output + "/model.safetensors");
    for (const auto& tensor : before.tensors()) {
      CAPTURE(tensor.name);
      const auto a = before.raw(tensor.name), b = after.raw(tensor.name);
      const bool same = std::equal(a.begin(), a.end(), b.begin(), b.end());
      const bool trained = std::find(names.begin(), names.end(), tensor.name) != names.end();
      if (!tensor.name.ends_with("k_proj.bias")) CHECK(same == !trained);  // softmax does not see a key's bias
    }
  }
}

TEST_CASE("the element type of the output") {
  const TinyRun run;
  run.report({"--steps", "2", "--method", "full", "--save-dtype", "bfloat16"});
  CHECK(read_json_file(run.output + "/config.json")["torch_dtype"] == "bfloat16");
  const SafetensorsFile file(run.output + "/model.safetensors");
  for (const auto& tensor : file.tensors()) CHECK(tensor.dtype == DType::bfloat16);
}

TEST_CASE("losses are those of the folder, the weights' own beside them, and what rounding costs is said") {
  const TinyRun source;  // a model in bfloat16, as most are published
  REQUIRE(run_program({"finetune", "--json", "--model", golden_model("opt-pre"), "--train", source.data, "--output",
                       source.output, "--steps", "1", "--method", "full", "--learning-rate", "1e-12", "--save-dtype",
                       "bfloat16"})
              .status == 0);
  const auto folder_loss = [](const TinyRun& run) {
    return run_program({"evaluate", "--json", "--model", run.output, "--data", run.data}).json()["loss"].get<double>();
  };
  int warned = 0, silent = 0;
  for (const std::string rate : {"1e-8", "1e-5", "1e-2"}) {
    for (const std::string dtype : {"", "float32"}) {
      CAPTURE(rate);
      CAPTURE(dtype);
      const TinyRun run;
      std::vector<std::string> arguments = {"finetune",     "--json",   "--model",    source.output, "--train",
                                            run.data,       "--method", "full",       "--steps",     "4",
                                            "--batch-size", "3",        "--schedule", "constant",    "--learning-rate",
                                            rate,           "--output", run.output};
      if (!dtype.empty()) arguments.insert(arguments.end(), {"--save-dtype", dtype});
      const auto outcome = run_program(arguments);
      CAPTURE(outcome.err);
      REQUIRE(outcome.status == 0);
      const auto report = outcome.json();
      const double before = report["loss_before"].get<double>(), after = report["loss_after"].get<double>();
      CHECK(after == doctest::Approx(folder_loss(run)).epsilon(1e-6));
      CHECK(read_json_file(run.output + "/config.json")["torch_dtype"] == (dtype.empty() ? "bfloat16" : dtype));
      CHECK(report["saved_dtype"] == (dtype.empty() ? "bfloat16" : dtype));
      REQUIRE(report.contains("loss_after_unrounded") == dtype.empty());
      if (!dtype.empty()) continue;
      const double unrounded = report["loss_after_unrounded"].get<double>();
      CHECK(unrounded < before);
      const bool much = after - unrounded > 0.05 * (before - unrounded);
      const auto warning = outcome.err.find("warning: saving in bfloat16 loses");
      CHECK((warning != std::string::npos) == much);
      (much ? warned : silent) += 1;
    }
  }
  CHECK(warned > 0);
  CHECK(silent > 0);
}

TEST_CASE("losses are taken when and of as many examples as asked for, and by default of some training examples") {
  const TemporaryFolder folder;
  const auto golden = golden_rows("opt-pre");
  std::string many;
  for (int i = 0; i < 50; ++i) many += golden;
  const auto data = folder.write("many.jsonl", many).string();  // 150 rows
  const auto report_of = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"finetune", "--json", "--model", golden_model("opt-pre"), "--train", data, "--method",
                               "full", "--steps", "1", "--output", (folder / "out").string()});
    const auto outcome = run_program(more);
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return outcome.json();
  };
  const auto usual = report_of({});
  CHECK(usual["evaluated"] == Json{{"data", "training"}, {"examples", 100}, {"of", 150}});
  CHECK(usual["loss_after"].get<double>() < usual["loss_before"].get<double>());

  const auto held_out = report_of({"--validation", data});
  CHECK(held_out["evaluated"] == Json{{"data", "validation"}, {"examples", 150}, {"of", 150}});
  CHECK(held_out["flops"]["evaluation"].get<Flops>() > usual["flops"]["evaluation"].get<Flops>());
  CHECK(report_of({"--validation", data, "--evaluation-examples", "3"})["evaluated"]["examples"] == 3);

  const auto none = report_of({"--evaluate", "none"});
  CHECK(none["loss_before"].is_null());
  CHECK(none["loss_after"].is_null());
  CHECK(none["evaluated"]["examples"] == 0);
  CHECK(none["flops"]["evaluation"] == 0);
  CHECK(none["ratio_all_in"].get<double>() < usual["ratio_all_in"].get<double>());
  const auto before = report_of({"--evaluate", "before"});
  CHECK(before["loss_before"] == usual["loss_before"]);
  CHECK(before["loss_after"].is_null());
  const auto after = report_of({"--evaluate", "after"});
  CHECK(after["loss_before"].is_null());
  CHECK(after["loss_after"] == usual["loss_after"]);
  CHECK(after["flops"]["evaluation"].get<Flops>() * 2 == usual["flops"]["evaluation"].get<Flops>());
}

TEST_CASE("more threads than the machine runs at once are cut to that, with a word") {
  const TinyRun run;
  const auto outcome = run_program(run.arguments({"--steps", "1", "--threads", "1000000"}));
  CAPTURE(outcome.err);
  CHECK(outcome.status == 0);
  const auto cores = std::max(1U, std::thread::hardware_concurrency());
  CHECK(outcome.err.find("--threads 1000000: this machine runs " + std::to_string(cores)) != std::string::npos);
}

TEST_CASE("an interrupt ends the run after its step, and nothing is written where no states are asked for") {
  for (const int number : {SIGINT, SIGTERM}) {
    const TinyRun run;
    const auto output = (run.folder / "new/parents/tuned").string();
    Program program(run.arguments({"--rho", "0.6", "--steps", "1000000", "--output", output, "--save-every", "none"}));
    for (int i = 0; i < 1500 && !has(program.error_so_far(), "step 1/"); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    program.signal(number);
    const auto outcome = program.wait();
    CHECK(outcome.status == 130);
    CHECK(outcome.out == "");
    CHECK(has(outcome.err, "nothing was written"));
    CHECK(run.folder.entries() == 1);
  }
}

TEST_CASE("BLOOM and T5 train within their budgets, and their folders are read back") {
  for (const std::string name : {"bloom", "t5-tied-relu", "t5-untied-gated"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const auto data = folder.write("train.jsonl", golden_rows(name)).string();
    const auto output = (folder / "tuned").string();
    const auto outcome =
        run_program({"finetune", "--json", "--model", golden_model(name), "--train", data, "--output", output,
                     "--batch-size", "2", "--rho", "0.6", "--epochs", "10", "--learning-rate", "0.003"});
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    const Json report = outcome.json();
    CHECK(report["ratio"].get<double>() <= 0.6);
    CHECK(report["ratio"].get<double>() > 0.5);
    const double published = read_json_file(golden_model(name) + "/golden.json")["loss"].get<double>();
    CHECK(report["loss_before"].get<double>() == doctest::Approx(published).epsilon(1e-6));
    CHECK(report["loss_after"].get<double>() < report["loss_before"].get<double>());
    const auto after = run_program({"evaluate", "--json", "--model", output, "--data", data}).json();
    CHECK(after["loss"].get<double>() == doctest::Approx(report["loss_after"].get<double>()).epsilon(1e-6));
  }
}

TEST_CASE("target tokens limit an encoder-decoder's completions, and are refused elsewhere") {
  const TemporaryFolder folder;
  const auto data = folder.write("rows.jsonl", golden_rows("t5-tied-relu")).string();
  const auto evaluate = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"evaluate", "--json", "--model", golden_model("t5-tied-relu"), "--data", data});
    return run_program(std::move(more));
  };
  CHECK(evaluate({}).json()["examples"].size() == 3);
  const auto limited = evaluate({"--target-tokens", "7", "--max-tokens", "20"});
  CHECK(limited.json()["examples"].size() == 2);  // of 7, 12 and 5 tokens
  CHECK(has(limited.err, "1 of 3 rows dropped"));
  const auto elsewhere =
      run_program({"evaluate", "--model", golden_model("bloom"), "--data",
                   folder.write("bloom.jsonl", golden_rows("bloom")).string(), "--target-tokens", "7"});
  CHECK(elsewhere.status == 1);
  CHECK(has(elsewhere.err, "--target-tokens: expected an encoder-decoder model, got model_type bloom"));
}

TEST_CASE("rows of a file are chosen by number, and a wrong choice is refused") {
  const TinyRun run;  // 3 rows
  CHECK(run.report({"--method", "full", "--train-rows", "2", "--epochs", "1"})["steps"] == 1);
  const Json last =
      run.report({"--method", "full", "--train-rows", "2:9", "--validation", run.data, "--validation-rows", "1"});
  CHECK(last["steps"] == 1);
  const auto evaluation =
      run_program({"evaluate", "--model", golden_model("opt-pre"), "--data", run.data, "--rows", "1:2", "--json"})
          .json();
  REQUIRE(evaluation["examples"].size() == 1);
  CHECK(evaluation["examples"][0]["line"] == 2);
  for (const char* rows : {"0", "-1", "2:2", "3:", "x", "1:2:3", ""}) {
    const Outcome outcome = run_program(run.arguments({"--train-rows", rows}));
    CHECK(outcome.status == 2);
    CHECK(outcome.err.find("[finetune] --train-rows: expected a number of rows or a range such as 400:500, got") == 0);
  }
  CHECK(run_program(run.arguments({"--validation-rows", "1"}))
            .err.find("--validation-rows: expected not to be given with training without --validation") !=
        std::string::npos);
}

TEST_CASE("selection that knows less than the graph passes its budget; the report says so") {
  const TinyRun run;
  const std::vector<std::string> options = {"--rho", "0.5", "--steps", "2", "--dependencies"};
  const auto ratio = [&](const char* dependencies) {
    auto all = options;
    all.push_back(dependencies);
    return run.report(all)["ratio"].get<double>();
  };
  CHECK(ratio("graph") <= 0.5);
  CHECK(ratio("none") > 0.5);
  CHECK(ratio("chain") > 0.3);
  CHECK(run_program(run.arguments({"--method", "full", "--dependencies", "none"})).err.find("--dependencies") !=
        std::string::npos);
}
