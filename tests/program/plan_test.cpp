// greentrainer plan: tensors and operators add up to the backward pass, the paper's totals, selections within a ratio.

#include <cmath>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"
#include "support/golden_model.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

Json plan(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"plan", "--json"});
  const auto outcome = run_program(std::move(arguments));
  CAPTURE(outcome.err);
  REQUIRE(outcome.status == 0);
  return outcome.json();
}

std::int64_t sum(const Json& list, const char* field) {
  std::int64_t total = 0;
  for (const auto& entry : list) total += entry.at(field).get<std::int64_t>();
  return total;
}

}  // namespace

TEST_CASE("tensors and operators add up to the backward pass") {
  for (const auto& name : golden_names()) {
    CAPTURE(name);
    const auto report =
        plan({"--model", golden_model(name), "--batch-size", "2", "--tokens", "12", "--labelled-tokens", "5"});
    CHECK(report["cost_model"] == "exact");
    CHECK(report["unit"] == "FLOPs");
    CHECK(report["total"].get<std::int64_t>() ==
          report["forward"].get<std::int64_t>() + report["backward"].get<std::int64_t>());
    CHECK(report["backward"] == sum(report["tensors"], "grad_input") + sum(report["tensors"], "grad_weight") +
                                    sum(report["operators"], "grad_input"));
    CHECK(!report.contains("selection"));
    std::int64_t bytes = 0;
    for (const char* purpose : {"weights", "gradients", "optimizer", "activations", "workspace", "batch", "scratch"})
      bytes += report["memory"].at(purpose).get<std::int64_t>();
    CHECK(report["memory_bytes"] == bytes);
    CHECK(report["memory"]["optimizer"] == 2 * report["memory"]["weights"].get<std::int64_t>());
    CHECK(report["memory_importance_bytes"].get<std::int64_t>() > 0);

    // Every tensor of the checkpoint, in a shape it has there.
    const SafetensorsFile file(golden_model(name) + "/model.safetensors");
    CHECK(report["tensors"].size() == file.tensors().size());
    for (const auto& tensor : report["tensors"])
      CHECK(tensor["shape"] == file.info(tensor["name"].get<std::string>()).shape);

    const auto all = plan({"--model", golden_model(name), "--batch-size", "2", "--tokens", "12", "--labelled-tokens",
                           "5", "--tensors", "*"});
    CHECK(all["selection"].size() == report["tensors"].size());
    CHECK(all["selection_cost"] == report["backward"]);
    CHECK(all["ratio"] == 1.0);
  }
}

TEST_CASE("an exact selection keeps the ratio, and never chooses what is worth nothing") {
  const TemporaryFolder folder;
  const auto report = plan({"--model", golden_model("opt-pre")});
  Json importance = Json::object();
  double value = 0.5;
  for (const auto& tensor : report["tensors"])
    importance[tensor["name"].get<std::string>()] = value = std::fmod(value * 7.3, 1.0);
  const std::string left_out = report["tensors"][10]["name"];
  importance.erase(left_out);
  const auto file = folder.write("importance.json", importance.dump()).string();
  for (const std::string rho : {"0.6", "0.75", "0.9"}) {
    CAPTURE(rho);
    const auto chosen = plan({"--model", golden_model("opt-pre"), "--rho", rho, "--importance", file});
    CHECK(chosen["ratio"].get<double>() <= std::stod(rho));
    CHECK(chosen["ratio"].get<double>() > 0.9 * std::stod(rho));
    CHECK(chosen["selection"].size() > 0);
    for (const auto& name : chosen["selection"]) CHECK(name != left_out);

    // The same tensors by name cost the same.
    std::string names;
    for (const auto& name : chosen["selection"]) names += (names.empty() ? "" : ",") + name.get<std::string>();
    const auto listed = plan({"--model", golden_model("opt-pre"), "--tensors", names});
    CHECK(listed["selection_cost"] == chosen["selection_cost"]);
  }

  const auto impossible =
      run_program({"plan", "--model", golden_model("opt-pre"), "--rho", "0.1", "--importance", file});
  CHECK(impossible.status == 1);
  CHECK(has(impossible.err, "--rho: expected at least 0.3"));
  for (const auto& [bad, named] : std::vector<std::pair<std::string, std::string>>{
           {R"({"model.decoder.layers.0.fc1.wieght": 1})", "did you mean model.decoder.layers.0.fc1.weight?"},
           {R"({"model.decoder.layers.0.fc1.weight": null})", "finite"},
           {"{\"" + std::string(2000000, 'a') + "\": 1}", "expected the name of a tensor, got an unknown one"}}) {
    const auto outcome = run_program({"plan", "--model", golden_model("opt-pre"), "--rho", "0.5", "--importance",
                                      folder.write("bad.json", bad).string()});
    CAPTURE(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.err.size() < 3000);
    CHECK(has(outcome.err, "bad.json"));
    CHECK(has(outcome.err, named));
  }
}

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

TEST_CASE("an encoder-decoder is priced by source and target") {
  const auto cost = [](const char* tokens, const char* target) {
    const auto report = plan({"--model", golden_model("t5-untied-gated"), "--batch-size", "2", "--tokens", tokens,
                              "--target-tokens", target});
    return report["total"].get<std::int64_t>();
  };
  CHECK(cost("40", "8") > cost("20", "8"));
  CHECK(cost("40", "16") > cost("40", "8"));
  // Twice the keys and values of cross-attention come with twice the source, whatever the target: decoder and head
  // alone do not double.
  CHECK(cost("40", "8") < 2 * cost("20", "8"));

  const auto report = plan({"--model", golden_model("t5-untied-gated"), "--tokens", "40", "--target-tokens", "8",
                            "--tensors", "*.EncDecAttention.k.weight"});
  for (const auto& tensor : report["tensors"]) {
    if (tensor["name"] == "decoder.block.1.layer.1.EncDecAttention.k.weight")
      CHECK(tensor["grad_weight"] == 4 * 40 * 2 * 18 * 16);
    if (tensor["name"] == "decoder.block.1.layer.1.EncDecAttention.q.weight")
      CHECK(tensor["grad_weight"] == 4 * 8 * 2 * 18 * 16);
  }
  const auto labelled = run_program(
      {"plan", "--model", golden_model("t5-untied-gated"), "--target-tokens", "8", "--labelled-tokens", "9"});
  CHECK(labelled.status == 2);
  CHECK(has(labelled.err, "--labelled-tokens: expected at most --target-tokens, 8, got 9"));
}

TEST_CASE("plan reproduces the totals of the paper's rules") {
  // G multiply-adds for a batch of 4 x 512 tokens (T5: 512 in, 64 out): forward, activation gradients, weight
  // gradients. Computed from arXiv 2309.13192's published rules.
  struct Row {
    std::string model;
    std::size_t tensors;
    double forward, grad_input, grad_weight;
  };
  const std::vector<Row> rows = {{"opt-125m", 196, 272.598831, 291.711222, 253.264996},
                                 {"opt-350m", 388, 723.388469, 774.369182, 671.768693},
                                 {"opt-1.3b", 388, 2789.161832, 2891.121164, 2685.971663},
                                 {"opt-2.7b", 516, 5591.530476, 5761.468989, 5419.510254},
                                 {"bloomz-560m", 293, 1196.813189, 1247.792857, 1145.423528},
                                 {"bloomz-3b", 365, 6310.304154, 6469.619548, 6149.554831},
                                 {"flan-t5-base", 282, 231.347454, 253.390946, 209.349771},
                                 {"flan-t5-xl", 558, 2904.921473, 3022.491484, 2787.473621}};
  const double tolerance = 1e-5;
  for (const auto& row : rows) {
    CAPTURE(row.model);
    const auto report =
        plan({"--model", source_path("tests/golden/configs/" + row.model).string(), "--cost-model", "paper"});
    CHECK(report["unit"] == "multiply-adds");
    CHECK(report["operators"].empty());
    CHECK(report["tensors"].size() == row.tensors);
    CHECK(std::abs(report["forward"].get<double>() / 1e9 - row.forward) < tolerance * row.forward);
    const auto grad_input = sum(report["tensors"], "grad_input"), grad_weight = sum(report["tensors"], "grad_weight");
    CHECK(std::abs(static_cast<double>(grad_input) / 1e9 - row.grad_input) < tolerance * row.grad_input);
    CHECK(std::abs(static_cast<double>(grad_weight) / 1e9 - row.grad_weight) < tolerance * row.grad_weight);
    CHECK(report["backward"] == grad_input + grad_weight);
  }
}

TEST_CASE("the paper's selector on the paper's chain") {
  const TemporaryFolder folder;
  const auto model = source_path("tests/golden/configs/opt-125m").string();
  Json importance = Json::object();
  const auto report = plan({"--model", model});
  for (const auto& tensor : report["tensors"]) importance[tensor["name"].get<std::string>()] = 1;
  const auto file = folder.write("importance.json", importance.dump()).string();
  const auto paper = plan({"--model", model, "--cost-model", "paper", "--rho", "0.5", "--importance", file});
  const auto exact =
      plan({"--model", model, "--cost-model", "paper", "--selector", "exact", "--rho", "0.5", "--importance", file});
  CHECK(exact["ratio"].get<double>() <= 0.5);
  CHECK(paper["ratio"].get<double>() < 0.55);  // costs rounded down: it may spend a little more than asked
  CHECK(exact["selection"].size() > 0);
  CHECK(paper["selection"].size() > 0);

  const auto llama = run_program({"plan", "--model", golden_model("llama-gqa-tied"), "--cost-model", "paper"});
  CHECK(llama.status == 1);
  CHECK(has(llama.err, "published rules for opt, bloom and t5 alone"));
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

TEST_CASE("what cannot be planned is an error in one line, notes or not") {
  const TemporaryFolder folder;
  const auto error = [&](std::vector<std::string> more, const std::string& model = golden_model("opt-pre")) {
    more.insert(more.begin(), {"plan", "--json", "--model", model});
    const auto outcome = run_program(more);
    CAPTURE(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.out == "");
    CHECK(outcome.error_lines() == 1);
    CHECK(outcome.err.starts_with("["));
    return outcome.err;
  };
  // A note belongs to each of these, since 512 tokens are more than the model's positions.
  CHECK(has(error({"--tensors", "*.fc7.*"}), "*.fc7.*"));
  const std::string importance = folder.write("importance.json", "{\"model.decoder.layers.0.fc1.weight\": 1}").string();
  CHECK(has(error({"--rho", "0.01", "--importance", importance}), "--rho: expected at least 0.3"));
  // More operations than 63 bits hold.
  const std::vector<std::string> batch = {"--tokens", "1048576", "--batch-size", "1048576"};
  CHECK(has(error(batch), "fewer than 9e18 operations"));
  CHECK(has(error({"--tokens", "1048576", "--batch-size", "1048576", "--cost-model", "paper"}),
            "fewer than 9e18 operations"));
  auto giant = read_json_file<OrderedJson>(golden_model("llama-mha-untied") + "/config.json");
  giant["hidden_size"] = giant["intermediate_size"] = 1 << 20;
  giant["num_attention_heads"] = giant["num_key_value_heads"] = giant["head_dim"] = 1 << 10;
  giant["vocab_size"] = 2147483647;
  giant["num_hidden_layers"] = 100;
  folder.write("giant/config.json", giant.dump());
  CHECK(has(error(batch, (folder / "giant").string()), "fewer than 9e18 operations"));
  giant["head_dim"] = 1 << 20;
  folder.write("giant/config.json", giant.dump());
  CHECK(has(error({}, (folder / "giant").string()),
            "num_attention_heads\": expected at most 1048576 columns with head_dim = 1048576"));
}

TEST_CASE("a memory limit is kept by computing again, and one that cannot be is refused with the smallest that can") {
  for (const auto& name : golden_names()) {
    CAPTURE(name);
    const std::vector<std::string> shape = {"--model", golden_model(name), "--batch-size", "4", "--tokens", "32"};
    const auto with = [&](const std::string& limit) {
      auto arguments = shape;
      arguments.insert(arguments.end(), {"--memory-limit", limit});
      return arguments;
    };
    const auto plain = plan(shape);
    CHECK(plain["recomputed"] == 0);
    auto too_little = with("1000");
    too_little.insert(too_little.begin(), "plan");
    const auto refused = run_program(too_little);
    CHECK(refused.status == 1);
    const std::string begin = "--memory-limit: expected at least ";
    const auto at = refused.err.find(begin);
    REQUIRE(at != std::string::npos);
    const std::string least = refused.err.substr(at + begin.size(), refused.err.find(" bytes", at) - at - begin.size());
    const auto limited = plan(with(least));
    CHECK(limited["memory_bytes"].get<Bytes>() <= std::stoll(least));
    CHECK(limited["memory_bytes"].get<Bytes>() < plain["memory_bytes"].get<Bytes>());
    CHECK(limited["recomputed"].get<Flops>() > 0);
    CHECK_FALSE(limited["recomputed_from"].empty());
    CHECK(plan(with(std::to_string(plain["memory_bytes"].get<Bytes>())))["recomputed"] == 0);
  }
  const auto published =
      run_program({"plan", "--model", golden_model("opt-pre"), "--cost-model", "paper", "--memory-limit", "1GiB"});
  CHECK(published.status == 2);
  CHECK(published.err.find("--memory-limit") != std::string::npos);
}

TEST_CASE("with exact sums a plan has passes of one example, and says what the sums take") {
  const std::vector<std::string> shape = {"--model", golden_model("llama-gqa-tied"), "--batch-size", "4", "--tokens",
                                          "32"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), shape.begin(), shape.end());
    return plan(more);
  };
  const Json fast = with({}), exact = with({"--gradient-sums", "exact"});
  CHECK(fast["memory_exact_sums_bytes"] == 0);
  CHECK(exact["memory_exact_sums_bytes"].get<Bytes>() >= 4 * exact["memory"]["gradients"].get<Bytes>());
  const Json one = plan({"--model", golden_model("llama-gqa-tied"), "--batch-size", "1", "--tokens", "32"});
  CHECK(exact["memory"]["activations"] == one["memory"]["activations"]);
  CHECK(exact["memory"]["activations"].get<Bytes>() < fast["memory"]["activations"].get<Bytes>());
  CHECK(exact["memory_importance_bytes"] == fast["memory_importance_bytes"]);  // of whole batches
  CHECK(exact["total"] == fast["total"]);
}

TEST_CASE("the memory of measuring importances is that of the metric") {
  const std::vector<std::string> shape = {"--model",     golden_model("llama-gqa-tied"), "--tokens", "32", "--tensors",
                                          "*.layers.1.*"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), shape.begin(), shape.end());
    return plan(more);
  };
  const auto bytes = [&](const char* metric) {
    return with({"--importance-metric", metric})["memory_importance_bytes"].get<Bytes>();
  };
  CHECK(with({})["importance_metric"] == "paper");
  CHECK(with({})["memory_importance_bytes"] == bytes("paper"));
  CHECK(bytes("first-order") < bytes("paper"));
  CHECK(bytes("gradient-norm") < bytes("first-order"));
  CHECK(bytes("random") < bytes("gradient-norm"));
  const Json stored = with({"--frozen-format", "bfloat16"});
  CHECK(stored["importance_metric"] == "first-order");
  auto paper = shape;
  paper.insert(paper.begin(), "plan");
  paper.insert(paper.end(), {"--frozen-format", "bfloat16", "--importance-metric", "paper"});
  const auto refused = run_program(paper);
  CHECK(refused.status == 2);
  CHECK(refused.err.find("--importance-metric: expected one that leaves weights as they are") != std::string::npos);
}
