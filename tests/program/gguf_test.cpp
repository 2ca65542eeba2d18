// The program takes a GGUF file where it takes a model's folder.

#include <doctest/doctest.h>

#include "greentrainer/io/safetensors.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::string file = source_path("tests/golden/gguf/stories260k.gguf").string();
const std::string rows = R"({"prompt": "Once upon a time", "completion": " there was a cat."}
{"prompt": "A dog", "completion": " ran to the big tree."}
)";

Outcome run_well(std::vector<std::string> arguments) {
  Outcome outcome = run_program(std::move(arguments));
  CAPTURE(outcome.err);
  REQUIRE(outcome.status == 0);
  return outcome;
}

std::string losses_of(const std::string& folder) {
  std::string losses;
  std::ifstream lines(folder + "/metrics.jsonl");
  for (std::string line; std::getline(lines, line);) {
    const Json json = parse_json(line, "metrics.jsonl");
    if (json.contains("loss")) losses += json["loss"].dump() + " ";
  }
  return losses;
}

}  // namespace

TEST_CASE("finetune, plan, evaluate and generate give for a GGUF file what they give for its folder") {
  const TemporaryFolder scratch;
  const std::string data = scratch.write("rows.jsonl", rows).string();
  const auto finetune = [&](const std::string& model, const std::string& output, const std::string& rate) {
    const std::string out = (scratch / output).string();
    run_well({"finetune", "--model", model, "--train", data, "--output", out, "--method", "full", "--epochs", "2",
              "--learning-rate", rate, "--seed", "3"});
    return out;
  };
  const std::string folder = finetune(file, "folder", "0");  // its weights, unchanged
  const std::string of_file = finetune(file, "of-file", "0.01"), of_folder = finetune(folder, "of-folder", "0.01");
  CHECK_FALSE(losses_of(of_file).empty());
  CHECK(losses_of(of_file) == losses_of(of_folder));
  CHECK(contents(of_file + "/model.safetensors") == contents(of_folder + "/model.safetensors"));
  CHECK(contents(of_file + "/tokenizer.json") == contents(of_folder + "/tokenizer.json"));

  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"plan", "--rho", "0.5"},
        {"evaluate", "--data", data},
        {"generate", "--prompt", "Once upon a time", "--max-new-tokens", "8"}}) {
    const auto with = [&](const std::string& model) {
      std::vector<std::string> arguments = command;
      arguments.insert(arguments.begin() + 1, {"--json", "--model", model});
      Json json = run_well(std::move(arguments)).json();
      for (const char* field : {"model", "seconds", "tokens_per_second", "memory_bytes", "environment"})
        json.erase(field);
      return json;
    };
    CAPTURE(command.front());
    CHECK(with(file) == with(folder));
  }
}

TEST_CASE("a file that is no model is refused in one line that names it") {
  const TemporaryFolder scratch;
  const std::string bad = scratch.write("bad.gguf", contents(file).substr(0, 5000)).string();
  for (const std::vector<std::string>& command : {std::vector<std::string>{"plan"}, {"generate", "--prompt", "x"}}) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), {"--model", bad});
    const Outcome outcome = run_program(std::move(arguments));
    CHECK(outcome.status == 1);
    CHECK(has(outcome.err, "bad.gguf"));
    CHECK(outcome.error_lines() == 1);
  }
}
