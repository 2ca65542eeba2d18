// Files that cannot be used: exit status 1, one line naming file and tensor or line, nothing written, an older output
// unharmed.

#include <cstring>
#include <limits>

#include <doctest/doctest.h>

#include "greentrainer/io/folder_manifest.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// A copy of a golden model to be spoilt, data that fits it, and an output folder of an earlier run.
struct Spoilt {
  TemporaryFolder folder;

  Spoilt() {
    folder.write("model/config.json", contents(golden_model("opt-pre") + "/config.json"));
    folder.write("model/model.safetensors", contents(golden_model("opt-pre") + "/model.safetensors"));
    folder.write("train.jsonl", golden_rows("opt-pre"));
    folder.write("tuned/config.json", "{\"old\": true}");
    folder.write("tuned/model.safetensors", "old weights");
    FolderManifest::of(folder / "tuned").write(folder / "tuned");
  }

  void edit(const std::string& file, const std::string& from, const std::string& to) const {
    std::string bytes = contents(folder / file);
    const auto at = bytes.find(from);
    REQUIRE(at != std::string::npos);
    folder.write(file, bytes.replace(at, from.size(), to));
  }

  void check(const std::vector<std::string>& named, std::vector<std::string> more = {}) const {
    const auto entries = folder.entries();
    more.insert(more.begin(),
                {"finetune", "--json", "--model", (folder / "model").string(), "--train",
                 (folder / "train.jsonl").string(), "--output", (folder / "tuned").string(), "--steps", "2"});
    if (std::find(more.begin(), more.end(), "--method") == more.end()) more.insert(more.end(), {"--rho", "0.7"});
    const auto outcome = run_program(more);
    CAPTURE(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.out == "");
    const auto last = outcome.err.rfind("\n[");
    const std::string error = outcome.err.substr(last == std::string::npos ? 0 : last + 1);
    CHECK(error.starts_with("["));
    CHECK(std::count(error.begin(), error.end(), '\n') == 1);
    for (const auto& part : named) {
      CAPTURE(part);
      CHECK(has(error, part));
    }
    CHECK(contents(folder / "tuned/config.json") == "{\"old\": true}");
    CHECK(contents(folder / "tuned/model.safetensors") == "old weights");
    CHECK(folder.entries() == entries);
  }
};

}  // namespace

TEST_CASE("a checkpoint that cannot be used is refused in one line") {
  const Spoilt spoilt;
  const std::string file = "model/model.safetensors";
  const std::string whole = contents(spoilt.folder / file);

  SUBCASE("cut short") {
    spoilt.folder.write(file, whole.substr(0, whole.size() - 100));
    spoilt.check({"model.safetensors"});
  }
  SUBCASE("not a safetensors file") {
    spoilt.folder.write(file, "PK\003\004 this is something else altogether");
    spoilt.check({"model.safetensors"});
  }
  SUBCASE("empty") {
    spoilt.folder.write(file, "");
    spoilt.check({"model.safetensors"});
  }
  SUBCASE("a tensor is missing") {
    spoilt.edit(file, "layers.1.fc1.weight", "layers.9.fc1.weight");
    spoilt.check({"layers.1.fc1.weight"});
  }
  SUBCASE("a tensor has another shape") {
    spoilt.edit(file, "[64,32]", "[32,64]");
    spoilt.check({"model.safetensors", "fc1.weight", "expected shape (64, 32), got (32, 64)"});
  }
  SUBCASE("a weight is not a number") {
    std::string bytes = whole;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(bytes.data() + bytes.size() - 64, &nan, sizeof(nan));
    spoilt.folder.write(file, bytes);
    spoilt.check({"model.safetensors", "tensor ", "nan"});
  }
  SUBCASE("no checkpoint") {
    std::filesystem::remove(spoilt.folder / file);
    spoilt.check({"model.safetensors"});
  }
}

TEST_CASE("configurations that cannot be used are refused by name") {
  const Spoilt spoilt;
  SUBCASE("unknown architecture") {
    spoilt.edit("model/config.json", "\"model_type\": \"opt\"", "\"model_type\": \"mamba\"");
    spoilt.check({"config.json", "model_type", "mamba"});
  }
  SUBCASE("a field that changes the mathematics") {
    spoilt.edit("model/config.json", "\"model_type\": \"opt\"",
                "\"model_type\": \"opt\", \"quantization_config\": {\"bits\": 4}");
    spoilt.check({"config.json", "quantization_config"});
  }
  SUBCASE("a norm's epsilon below 0") {
    spoilt.folder.write("model/config.json", contents(golden_model("llama-mha-untied") + "/config.json"));
    spoilt.edit("model/config.json", "\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": -1.0");
    spoilt.check({"config.json", "rms_norm_eps", "expected 0 to 1, got -1"});
  }
  SUBCASE("a norm's epsilon that leaves nothing of the values") {
    spoilt.folder.write("model/config.json", contents(golden_model("llama-mha-untied") + "/config.json"));
    spoilt.edit("model/config.json", "\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 1e300");
    spoilt.check({"config.json", "rms_norm_eps", "expected 0 to 1, got 1e+300"});
  }
  SUBCASE("another size than the checkpoint's") {
    spoilt.edit("model/config.json", "\"ffn_dim\": 64", "\"ffn_dim\": 128");
    spoilt.check({"model.safetensors", "fc1"});
  }
  SUBCASE("not JSON") {
    spoilt.folder.write("model/config.json", "{\"model_type\": ");
    spoilt.check({"config.json"});
  }
}

TEST_CASE("data that cannot be used are refused with file and line") {
  const Spoilt spoilt;
  const std::string good = golden_rows("opt-pre");
  SUBCASE("token id beyond the vocabulary") {
    spoilt.folder.write("train.jsonl", good + R"({"input_ids": [1, 96], "labels": [-100, 3]})"
                                              "\n");
    spoilt.check({"train.jsonl, line 4", "96"});
  }
  SUBCASE("negative token id") {
    spoilt.folder.write("train.jsonl", good + R"({"input_ids": [1, -5], "labels": [-100, 3]})"
                                              "\n");
    spoilt.check({"train.jsonl, line 4", "-5"});
  }
  SUBCASE("label beyond the vocabulary") {
    spoilt.folder.write("train.jsonl", good + R"({"input_ids": [1, 2], "labels": [-100, 1000]})"
                                              "\n");
    spoilt.check({"train.jsonl, line 4", "1000"});
  }
  SUBCASE("not JSON") {
    spoilt.folder.write("train.jsonl", good + "{\"input_ids\": [1, 2\n");
    spoilt.check({"train.jsonl, line 4"});
  }
  SUBCASE("lists of different lengths") {
    spoilt.folder.write("train.jsonl", R"({"input_ids": [1, 2], "labels": [-100]})"
                                       "\n");
    spoilt.check({"train.jsonl, line 1"});
  }
  SUBCASE("text without a tokenizer") {
    spoilt.folder.write("train.jsonl", R"({"prompt": "a", "completion": "b"})"
                                       "\n");
    spoilt.check({"train.jsonl, line 1", "tokenizer"});
  }
  SUBCASE("empty") {
    spoilt.folder.write("train.jsonl", "");
    spoilt.check({"train.jsonl"});
  }
  SUBCASE("no label in any row") {
    spoilt.folder.write("train.jsonl", R"({"input_ids": [1, 2, 3], "labels": [-100, -100, -100]})"
                                       "\n");
    spoilt.check({"train.jsonl"});
  }
  SUBCASE("missing") {
    std::filesystem::remove(spoilt.folder / "train.jsonl");
    spoilt.check({"train.jsonl"});
  }
}

TEST_CASE("a run that cannot be finished says why and leaves no output") {
  const Spoilt spoilt;
  SUBCASE("a ratio that cannot be kept names the smallest that can") {
    spoilt.check({"--rho: expected at least 0."}, {"--rho", "0.05", "--method", "green"});
  }
  SUBCASE("the loss is no longer a number") {
    spoilt.check({"finite", "learning rate"}, {"--method", "full", "--optimizer", "sgd", "--learning-rate", "1e30"});
  }
  SUBCASE("a glob that matches nothing") { spoilt.check({"*.fc7.*"}, {"--method", "listed", "--tensors", "*.fc7.*"}); }
  SUBCASE("longer than the model's positions") { spoilt.check({"--max-tokens", "64"}, {"--max-tokens", "65"}); }
}

TEST_CASE("an output that must not be written is refused before training") {
  const Spoilt spoilt;
  const auto finetune = [&](const std::string& output, std::vector<std::string> more = {}) {
    more.insert(more.begin(),
                {"finetune", "--model", (spoilt.folder / "model").string(), "--train",
                 (spoilt.folder / "train.jsonl").string(), "--output", output, "--steps", "1", "--method", "full"});
    return run_program(std::move(more));
  };
  spoilt.folder.write("photos/cat.jpg", "cat");
  const std::vector<std::string> outputs = {
      (spoilt.folder / "photos").string(), (spoilt.folder / "train.jsonl").string(), (spoilt.folder / "model").string(),
      (spoilt.folder / "train.jsonl/x").string(), "/proc/greentrainer/x"};
  const auto entries = spoilt.folder.entries();
  for (const auto& output : outputs) {
    CAPTURE(output);
    const auto outcome = finetune(output);
    CAPTURE(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.err.starts_with("["));  // before anything else is said: nothing has been trained
    CHECK(outcome.error_lines() == 1);
    CHECK(spoilt.folder.entries() == entries);
  }
  CHECK(contents(spoilt.folder / "photos/cat.jpg") == "cat");

  // An input inside the folder that would be replaced.
  spoilt.folder.write("tuned/data.jsonl", golden_rows("opt-pre"));
  const auto outcome = run_program({"finetune", "--model", (spoilt.folder / "model").string(), "--train",
                                    (spoilt.folder / "tuned/data.jsonl").string(), "--output",
                                    (spoilt.folder / "tuned").string(), "--method", "full"});
  CHECK(outcome.status == 1);
  CHECK(has(outcome.err, "data.jsonl"));
  CHECK(contents(spoilt.folder / "tuned/data.jsonl") == golden_rows("opt-pre"));

  // A user's file in an output of the program's.
  const std::string tuned = (spoilt.folder / "tuned").string();
  const auto refused = finetune(tuned);
  CHECK(refused.status == 1);
  CHECK(has(refused.err, "got data.jsonl; choose another output"));
  CHECK(has(refused.err, "--overwrite"));
  CHECK(contents(spoilt.folder / "tuned/data.jsonl") == golden_rows("opt-pre"));
  CHECK(finetune(tuned, {"--overwrite"}).status == 0);
  CHECK(!std::filesystem::exists(spoilt.folder / "tuned/data.jsonl"));
  CHECK(std::filesystem::exists(spoilt.folder / "tuned/metrics.jsonl"));
}
