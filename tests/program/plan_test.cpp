// greentrainer plan: tensors and operators add up to the backward pass, the paper's totals, selections within a ratio.

#include <cmath>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/plan_command.hpp"
#include "support/golden_model.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

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
