// greentrainer plan of whole runs: epochs, cached prefixes, phases, branches that pass the identity.

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/plan_command.hpp"
#include "support/golden_model.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("the FLOPs planned for a run's epochs are those that finetune spends, with a cache and without") {
  const TemporaryFolder folder;
  for (const std::string name : {"llama-gqa-tied", "t5-tied-relu"}) {
    CAPTURE(name);
    const std::string data = folder.write(name + ".jsonl", golden_rows(name)).string();
    const std::string tensors = name == "t5-tied-relu" ? "decoder.block.1.*" : "*.layers.1.*";
    for (const std::vector<std::string>& cache :
         std::vector<std::vector<std::string>>{{},
                                               {"--prefix-cache", "memory"},
                                               {"--prefix-cache", "disk", "--prefix-cache-type", "bfloat16"},
                                               {"--prefix-cache", "disk", "--prefix-cache-limit", "2500"}}) {
      std::vector<std::string> options = {"--model", golden_model(name), "--train", data,           "--epochs",
                                          "3",       "--tensors",        tensors,   "--batch-size", "2"};
      options.insert(options.end(), cache.begin(), cache.end());
      const auto run = plan(options)["run"];
      options.insert(options.begin(), {"finetune", "--json", "--method", "listed", "--evaluate", "none", "--overwrite",
                                       "--output", (folder / "tuned").string()});
      const auto outcome = run_program(options);
      CAPTURE(outcome.err);
      REQUIRE(outcome.status == 0);
      const auto report = outcome.json();
      CHECK(run["total"] == report["flops"]["train"]);
      CHECK(run["full"] == report["flops"]["full"]);
      CHECK(run["ratio"] == report["ratio"]);
      CHECK(run["saved_by_cache"] == report["flops"]["saved_by_cache"]);
      CHECK(run["cached_bytes"] == report["cached_bytes"]);
      CHECK(run["cached_below"] == report["selections"][0]["cached_below"]);
      CHECK(run["steps"] == report["steps"]);
      REQUIRE(run["epochs"].size() == 3);
      CHECK((run["epochs"][1] < run["epochs"][0]) == !cache.empty());
    }
  }
}

TEST_CASE("with a cache a budget buys more depth from the second epoch on, and plan says what keeps one away") {
  const TemporaryFolder folder;
  Json importance = Json::object();
  const std::string model = golden_model("opt-pre");
  const auto tensors = plan({"--model", model})["tensors"];
  for (const auto& tensor : tensors) importance[tensor["name"].get<std::string>()] = 1;
  const auto file = folder.write("importance.json", importance.dump()).string();
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--model", model, "--batch-size", "4", "--tokens", "12", "--labelled-tokens", "5"});
    return plan(std::move(more));
  };
  const auto without = run({"--rho", "0.5", "--importance", file, "--epochs", "5", "--examples", "20"});
  const auto with =
      run({"--rho", "0.5", "--importance", file, "--epochs", "5", "--examples", "20", "--prefix-cache", "memory"});
  for (const auto& report : {without, with}) CHECK(report["run"]["ratio"].get<double>() <= 0.5);
  CHECK(with["run"]["cached_bytes"] == 20 * 12 * 32 * 4);
  CHECK(with["run"]["epochs"][1] == with["run"]["epochs"][4]);
  CHECK(with["run"]["epochs"][1].get<Flops>() < with["run"]["epochs"][0].get<Flops>());
  CHECK(with["selection_cost"].get<Flops>() > without["selection_cost"].get<Flops>());
  CHECK(with["selection"].size() > without["selection"].size());

  const auto full = run({"--epochs", "2", "--examples", "8", "--prefix-cache", "memory"});
  CHECK(has(full["run"]["not_cached"].get<std::string>(), "embed_tokens.weight is trained"));
  CHECK(full["run"]["ratio"] == 1.0);
  CHECK(full["run"]["epochs"][0] == 2 * full["total"].get<Flops>());

  const auto bias_of = [&](const std::string& stack) {
    return plan({"--model", golden_model("t5-tied-relu"), "--tensors", stack + ".*relative_attention_bias*", "--epochs",
                 "2", "--examples", "8", "--prefix-cache", "memory"})["run"];
  };
  const auto of_encoder = bias_of("encoder"), of_decoder = bias_of("decoder");
  CHECK(has(of_encoder["not_cached"].get<std::string>(), "relative_attention_bias.weight is trained"));
  CHECK(has(of_encoder["not_cached"].get<std::string>(), "operators that share it"));
  CHECK(of_decoder["saved_by_cache"].get<Flops>() > 0);  // below the decoder lies the encoder

  const auto refused = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"plan", "--model", model});
    const auto outcome = run_program(std::move(options));
    CHECK(outcome.status == 2);
    return outcome.err;
  };
  CHECK(has(refused({"--epochs", "2"}), "--epochs: expected --examples or --train beside it"));
  CHECK(has(refused({"--examples", "2"}), "--examples: expected --epochs beside it"));
  CHECK(has(refused({"--prefix-cache", "memory"}), "--prefix-cache: expected --epochs beside it"));
  CHECK(has(refused({"--dataset", "scitldr"}), "--dataset: expected --train beside it"));
  CHECK(has(refused({"--epochs", "2", "--examples", "2", "--cost-model", "paper"}), "--cost-model paper"));
}

TEST_CASE("the phases of a run cost what their ratios and steps say") {
  const std::vector<std::string> batch = {"--model", golden_model("opt-pre"), "--tokens", "12", "--steps", "10"};
  const auto phases = [&](std::vector<std::string> more) {
    more.insert(more.begin(), batch.begin(), batch.end());
    return plan(more);
  };
  const Json report = phases({"--phases", "1:20%,0.5:80%"});
  REQUIRE(report["phases"].size() == 2);
  CHECK(report["phases"][0]["rho"] == 1);
  CHECK(report["phases"][0]["steps"] == 2);
  CHECK(report["phases"][1]["steps"] == 8);
  const auto full = report["full"].get<std::int64_t>(), whole = report["phases_full"].get<std::int64_t>();
  const std::int64_t update = whole / 10 - full;
  CHECK(whole == 10 * (full + update));
  CHECK(update > 0);
  CHECK(report["phases"][0]["most"] == whole / 5);
  CHECK(report["phases"][1]["most"] == 4 * full + 8 * update);
  CHECK(report["phases_most"] == sum(report["phases"], "most"));

  const auto error = [&](int status, std::vector<std::string> more) {
    more.insert(more.begin(), {"plan", "--model", golden_model("opt-pre"), "--tokens", "12"});
    const auto outcome = run_program(more);
    CAPTURE(outcome.err);
    CHECK(outcome.status == status);
    CHECK(outcome.error_lines() == 1);
    return outcome.err;
  };
  CHECK(has(error(2, {"--phases", "1:100%"}), "--steps: expected a value, got none"));
  CHECK(has(error(2, {"--phases", "1:90%", "--steps", "10"}), "[plan] --phases: expected shares of the steps that"));
  CHECK(
      has(error(2, {"--phases", "1:100%", "--steps", "10", "--tensors", "*"}), "--tensors: expected not to be given"));
  CHECK(has(error(2, {"--phases", "1:100%", "--steps", "10", "--rho", "0.5"}), "--rho"));
  CHECK(has(error(1, {"--phases", "1:5%,0.5:95%", "--steps", "4"}), "in each phase, got none for rho 1; give it a"));
  CHECK(
      has(error(1, {"--phases", "1:50%,0.1:50%", "--steps", "4"}), "[plan] --phases: expected ratios of at least 0.3"));
}

TEST_CASE("branches that pass the identity are priced over draws, among which are those that finetune makes") {
  const TemporaryFolder folder;
  const std::vector<std::string> model = {"--model", golden_model("llama-gqa-tied"), "--freeze", "*norm*"};
  const auto priced = [&](const std::string& share) {
    std::vector<std::string> options = {"--tokens",  "8",        "--labelled-tokens", "7",  "--batch-size", "2",
                                        "--passing", "rotating", "--passing-share",   share};
    options.insert(options.begin(), model.begin(), model.end());
    return plan(options);
  };
  const Json all = priced("1"), some = priced("0.5");
  CHECK(all["passing"]["exact_branches"] == all["passing"]["branches"]);
  for (const char* key : {"backward_mean", "backward_least", "backward_most"})
    CHECK(all["passing"][key] == all["selection_cost"]);
  CHECK(some["passing"]["exact_branches"] == 2);
  CHECK(some["passing"]["branches"] == 4);
  CHECK(some["passing"]["backward_least"] < some["passing"]["backward_mean"]);
  CHECK(some["passing"]["backward_mean"] < some["passing"]["backward_most"]);
  CHECK(some["passing"]["backward_most"] < some["selection_cost"]);

  std::string rows;  // two of 8 tokens, each of which is a label
  for (int i = 0; i < 2; ++i)
    rows += R"({"input_ids": [5, 6, 7, 8, 9, 10, 11, 12], "labels": [5, 6, 7, 8, 9, 10, 11, 12]})"
            "\n";
  std::vector<std::string> training = {"finetune",         "--json",
                                       "--method",         "full",
                                       "--evaluate",       "none",
                                       "--train",          folder.write("rows.jsonl", rows).string(),
                                       "--output",         (folder / "out").string(),
                                       "--passing",        "rotating",
                                       "--passing-share",  "0.5",
                                       "--batch-size",     "2",
                                       "--steps",          "6",
                                       "--reselect-every", "2s"};
  training.insert(training.end(), model.begin(), model.end());
  const auto outcome = run_program(training);
  CAPTURE(outcome.err);
  REQUIRE(outcome.status == 0);
  const double step = outcome.json()["flops"]["train"].get<double>() / 6 - some["forward"].get<double>();
  CHECK(step >= some["passing"]["backward_least"].get<double>());
  CHECK(step <= some["passing"]["backward_most"].get<double>());

  const auto error = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"plan", "--model", golden_model("llama-gqa-tied")});
    const auto refused = run_program(more);
    CAPTURE(refused.err);
    CHECK(refused.status == 2);
    return refused.err;
  };
  CHECK(has(error({"--passing-share", "0.5"}), "--passing-share: expected not to be given with --passing exact"));
  CHECK(has(error({"--passing", "rotating", "--budget", "0.5x", "--steps", "9"}), "finetune with these options says"));
  CHECK(has(error({"--passing", "rotating", "--phases", "0.6:100%", "--steps", "9"}),
            "which bound what each draw costs"));
  CHECK(has(error({"--passing", "rotating", "--memory-limit", "1GiB"}), "--memory-limit: expected not to be given"));
  CHECK(has(error({"--sampling", "importance"}), "--sampling: expected off, got importance"));
}
