// The methods that add to a model: LoRA, merged and for peft, a prefix, and LoRA's matrices as candidates; what each
// writes is read back.

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "greentrainer/io/safetensors.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

struct Run {
  explicit Run(std::string model_)
      : model(std::move(model_)), data(folder.write("train.jsonl", golden_rows(model)).string()) {}

  Outcome finetune(std::vector<std::string> more) const {
    more.insert(more.begin(), {"finetune", "--json", "--model", golden_model(model), "--train", data, "--batch-size",
                               "2", "--learning-rate", "0.01", "--epochs", "8", "--output", output});
    return run_program(std::move(more));
  }
  Json report(std::vector<std::string> more) const {
    const auto outcome = finetune(std::move(more));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return outcome.json();
  }
  double loss() const {
    const auto outcome = run_program({"evaluate", "--json", "--model", output, "--data", data});
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return outcome.json()["loss"].get<double>();
  }

  std::string model;
  TemporaryFolder folder;
  std::string data, output = (folder / "tuned").string();
};

}  // namespace

TEST_CASE("LoRA and prefixes: what was learned is what the output computes") {
  struct Case {
    std::string model;
    std::vector<std::string> options;
    std::size_t tensors;
    bool adapter;  // rather than a model
  };
  const std::vector<Case> cases = {
      {"opt-pre", {"--method", "lora"}, 8, false},
      {"opt-pre",
       {"--method", "lora", "--adapter-output", "peft", "--lora-r", "2", "--lora-targets", "*.layers.1.*,fc1"},
       14,
       true},
      {"opt-pre", {"--method", "prefix"}, 4, true},
      {"llama-gqa-tied", {"--method", "prefix", "--prefix-tokens", "3"}, 4, true},
      {"bloom", {"--method", "lora", "--adapter-output", "merged", "--lora-dropout", "0"}, 4, false},
      {"t5-tied-relu", {"--method", "lora"}, 32, false},
      {"t5-tied-relu", {"--method", "prefix"}, 6, true}};
  for (const auto& c : cases) {
    CAPTURE(c.model);
    CAPTURE(c.options);
    const Run run(c.model);
    const Json report = run.report(c.options);
    CHECK(report["selections"].size() == 1);
    CHECK(report["selections"][0]["names"].size() == c.tensors);
    CHECK(report["loss_after"].get<double>() < report["loss_before"].get<double>());
    CHECK(report["ratio"].get<double>() < 1);
    CHECK(std::filesystem::exists(run.output + "/adapter_config.json") == c.adapter);
    CHECK(std::filesystem::exists(run.output + "/config.json") == !c.adapter);
    CHECK(std::filesystem::exists(run.output + "/metrics.jsonl"));
    CHECK(run.loss() == doctest::Approx(report["loss_after"].get<double>()).epsilon(1e-5));
    run.report(c.options);  // what is there is replaced
  }
}

TEST_CASE("GreenTrainer with LoRA's matrices keeps the budget of the model alone, and writes a model") {
  const Run run("llama-gqa-tied");
  const Json report = run.report(
      {"--adapters", "lora", "--adapter-rate-factor", "2", "--rho", "0.65", "--reselect-every", "2e", "--lora-r", "4"});
  CHECK(report["ratio"].get<double>() <= 0.65);
  bool chosen = false;
  for (const auto& selection : report["selections"]) {
    for (const auto& name : selection["names"]) chosen = chosen || has(name.get<std::string>(), ".lora_");
    CHECK(selection["importance"].contains("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"));
  }
  CHECK(chosen);
  const Run plain("llama-gqa-tied");
  CHECK(plain.report({"--rho", "0.65"})["flops"]["full"] == report["flops"]["full"]);
  CHECK(run.loss() == doctest::Approx(report["loss_after"].get<double>()).epsilon(1e-5));
  const SafetensorsFile before(golden_model("llama-gqa-tied") + "/model.safetensors"),
      after(run.output + "/model.safetensors");
  CHECK(after.tensors().size() == before.tensors().size());
}

TEST_CASE("adafactor says that it hardly moves LoRA's matrices that begin at zero") {
  const Run run("opt-pre");
  const auto lora = run.finetune({"--method", "lora", "--optimizer", "adafactor"});
  CHECK(lora.status == 0);
  CHECK(lora.err.find("move by a thousandth of --learning-rate a step") != std::string::npos);
  const auto full = run.finetune({"--method", "full", "--optimizer", "adafactor"});
  CHECK(full.status == 0);
  CHECK(full.err.find("thousandth") == std::string::npos);
}

TEST_CASE("dropout and LoRA's beginnings follow the seed") {
  const auto weights = [](const std::string& seed, const std::string& dropout) {
    const Run run("opt-pre");
    run.report({"--method", "lora", "--no-shuffle", "--seed", seed, "--lora-dropout", "0", "--dropout", dropout});
    return contents(run.output + "/model.safetensors");
  };
  const auto one = weights("1", "0.1");
  CHECK(weights("1", "0.1") == one);
  CHECK(weights("2", "0.1") != one);
  CHECK(weights("1", "0") != one);
}

TEST_CASE("options that do not go with the method, and adapters without their model, say so") {
  const Run run("opt-pre");
  struct Case {
    std::vector<std::string> options;
    std::string says;
    int status;
  };
  const std::vector<Case> cases = {{{"--method", "full", "--lora-r", "4"}, "--lora-r", 2},
                                   {{"--lora-r", "4"}, "without --adapters lora", 2},
                                   {{"--method", "lora", "--prefix-tokens", "4"}, "--prefix-tokens", 2},
                                   {{"--method", "lora", "--adapters", "lora"}, "--adapters", 2},
                                   {{"--adapter-rate-factor", "10"}, "--adapter-rate-factor", 2},
                                   {{"--method", "lora", "--adapter-rate-factor", "10"}, "--adapter-rate-factor", 2},
                                   {{"--method", "bitfit", "--adapter-output", "peft"}, "--adapter-output", 2},
                                   {{"--method", "lora", "--adapter-output", "pfet"}, "did you mean peft?", 2},
                                   {{"--method", "prefix", "--adapter-output", "merged"}, "cannot become weights", 2},
                                   {{"--method", "prefix", "--save-dtype", "float16"}, "--save-dtype", 2},
                                   {{"--method", "lora", "--lora-dropout", "1"}, "--lora-dropout", 2},
                                   {{"--method", "lora", "--lora-targets", "q_porj"}, "q_porj, which matches none", 1},
                                   {{"--method", "prefix", "--prefix-tokens", "64"}, "64 positions", 1}};
  for (const auto& c : cases) {
    CAPTURE(c.options);
    const auto outcome = run.finetune(c.options);
    CAPTURE(outcome.err);
    CHECK(outcome.status == c.status);
    CHECK(outcome.error_lines() == 1);
    CHECK(has(outcome.err, c.says));
    CHECK_FALSE(std::filesystem::exists(run.output));
  }

  run.report({"--method", "prefix"});
  Json config = read_json_file(run.output + "/adapter_config.json");
  config["base_model_name_or_path"] = "facebook/opt-125m";
  run.folder.write("tuned/adapter_config.json", config.dump());
  const auto outcome = run_program({"evaluate", "--model", run.output, "--data", run.data});
  CHECK(outcome.status == 1);
  CHECK(outcome.error_lines() == 1);
  CHECK(has(outcome.err, "base_model_name_or_path"));
  CHECK(has(outcome.err, "facebook/opt-125m"));
}
