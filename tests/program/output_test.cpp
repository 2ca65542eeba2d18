// What a run does with its output folder: what it refuses at its start, what is left when it is killed, and that a save
// that fails does not cost the run.

#include <chrono>
#include <filesystem>
#include <string>
#include <sys/resource.h>
#include <thread>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "greentrainer/io/safetensors.hpp"
#include "greentrainer/io/safetensors_writer.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

struct Run {
  TemporaryFolder folder;
  std::string data = folder.write("train.jsonl", golden_rows("opt-pre")).string();
  std::string model = golden_model("opt-pre"), output = (folder / "tuned").string();

  std::vector<std::string> arguments(const std::string& steps, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"finetune", "--json", "--model", model, "--train", data, "--output", output, "--steps",
                               steps, "--method", "bitfit", "--batch-size", "2"});
    return more;
  }
  Outcome finetune(std::vector<std::string> more = {}) const { return run_program(arguments("2", std::move(more))); }
  bool can_be_evaluated(const std::string& what) const {
    return run_program({"evaluate", "--json", "--model", what, "--data", data}).status == 0;
  }
  /// The model of the run as a folder of the test's own.
  void copy_model() {
    for (const char* name : {"config.json", "model.safetensors"})
      folder.write(std::string("model/") + name, contents(golden_model("opt-pre") + "/" + name));
    model = (folder / "model").string();
  }
};

/// Waits until the program has said so.
void wait_for(const Program& program, const std::string& words) {
  for (int i = 0; i < 3000 && !has(program.error_so_far(), words); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  REQUIRE(has(program.error_so_far(), words));
}

}  // namespace

TEST_CASE("a user's folder is refused before anything is trained, whatever its files are called") {
  const Run run;
  run.folder.write("tuned/config.json", "{}");
  run.folder.write("tuned/main.py", "print()");
  run.folder.write("tuned/src/lib.py", "");
  const auto refused = run.finetune();
  CHECK(refused.status == 1);
  CHECK(refused.error_lines() == 1);
  CHECK(has(refused.err, "tuned: expected nothing there but what this program wrote, got config.json, main.py, src/"));
  CHECK(has(refused.err, "--overwrite"));
  CHECK(contents(run.output + "/src/lib.py") == "");
  CHECK(run.folder.entries() == 2);
  CHECK(run.finetune({"--overwrite"}).status == 0);
  CHECK(run.finetune().status == 0);  // and what the program wrote needs no such word
  CHECK(run.can_be_evaluated(run.output));
  CHECK(run.folder.entries() == 2);
}

TEST_CASE("a second run of the same output is refused by the first one's number; a killed one hinders nobody") {
  const Run run;
  Program first(run.arguments("1000000"));
  wait_for(first, "step 1/");
  const auto second = run.finetune();
  CHECK(second.status == 1);
  CHECK(second.error_lines() == 1);
  CHECK(has(second.err, "got one that process " + std::to_string(first.process()) + " on "));
  first.signal(SIGKILL);
  first.wait();
  const auto third = run.finetune();
  CHECK(third.status == 0);
  CHECK(has(third.err, "removed; a killed run had left it"));
  CHECK(run.folder.entries() == 2);
}

TEST_CASE("killed at any time, a run leaves a whole folder, and the next one leaves nothing beside it") {
  const Run run;
  REQUIRE(run.finetune().status == 0);
  for (int milliseconds = 5; milliseconds < 400; milliseconds = milliseconds * 3 / 2) {
    CAPTURE(milliseconds);
    Program program(run.arguments("40"));
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    program.signal(SIGKILL);
    program.wait();
    CHECK(run.can_be_evaluated(run.output));
  }
  CHECK(run.finetune().status == 0);
  CHECK(run.folder.entries() == 2);
}

TEST_CASE("what makes saving fail is known before the first step") {
  Run run;
  const auto refused_at_start = [&](std::vector<std::string> more, const std::string& why) {
    const auto outcome = run.finetune(std::move(more));
    CAPTURE(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(outcome.error_lines() == 1);
    CHECK(has(outcome.err, why));
    CHECK_FALSE(std::filesystem::exists(run.output));
  };
  SUBCASE("files that may not grow") {
    rlimit before{}, small{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    small = {.rlim_cur = 20'000, .rlim_max = before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const auto outcome = run.finetune();
    ::setrlimit(RLIMIT_FSIZE, &before);
    CHECK(outcome.status == 1);
    CHECK(outcome.error_lines() == 1);
    CHECK(has(outcome.err, "got a limit of 20000"));
  }
  SUBCASE("a file of the model that is a link to nothing") {
    run.copy_model();
    std::filesystem::create_symlink("../blobs/missing", run.folder / "model/tokenizer_config.json");
    refused_at_start({}, "tokenizer_config.json: expected a file of the model, got a link to nothing");
  }
  SUBCASE("a file of the model that is a link to elsewhere") {
    run.copy_model();
    std::filesystem::create_symlink(run.data, run.folder / "model/chat_template.jinja");
    refused_at_start({}, "chat_template.jinja: expected a file of the model, got a link to ");
  }
  SUBCASE("an element type that the weights do not fit") {
    run.copy_model();
    const SafetensorsFile source(golden_model("opt-pre") + "/model.safetensors");
    std::vector<TensorToWrite> tensors;
    std::vector<float> values;
    for (const TensorInfo& info : source.tensors()) {
      tensors.push_back(TensorToWrite::copy_of(info, source.raw(info.name)));
      if (!info.name.ends_with("layers.0.fc1.bias")) continue;
      values.assign(static_cast<std::size_t>(info.elements()), 1e5F);
      tensors.back() =
          TensorToWrite::values_of<float>(info.name, DType::float32, info.shape, std::span<const float>(values));
    }
    REQUIRE_FALSE(values.empty());
    write_safetensors(run.folder / "model/model.safetensors", tensors);
    refused_at_start({"--save-dtype", "float16"}, "layers.0.fc1.bias: expected weights that float16 can hold");
  }
  SUBCASE("a link into a folder that is not there") {
    std::filesystem::create_directory_symlink("volume/tuned", run.folder / "tuned");
    refused_at_start({}, "is a volume not mounted?");
  }
}

TEST_CASE("a save that fails does not cost the run: its weights are in a second place, in float32") {
  const Run run;
  run.folder.write("tuned-rescued/letters.txt", "dear");  // the first name is taken
  Program program(run.arguments("1000", {"--save-dtype", "bfloat16"}));
  wait_for(program, "step 1/");
  program.signal(SIGSTOP);
  run.folder.write("tuned/letters.txt", "dear");  // appears while the run is on
  program.signal(SIGCONT);
  const auto outcome = program.wait();
  CAPTURE(outcome.err);
  CHECK(outcome.status == 1);
  CHECK(outcome.out == "");
  CHECK(has(outcome.err, "expected to save the trained model there, got: "));
  CHECK(has(outcome.err, "what was trained is not lost: it is in " + run.output + "-rescued-2, in float32"));
  CHECK(contents(run.output + "/letters.txt") == "dear");
  CHECK(contents(run.output + "-rescued/letters.txt") == "dear");
  CHECK(run.can_be_evaluated(run.output + "-rescued-2"));
  CHECK(std::filesystem::exists(run.output + "-rescued-2/metrics.jsonl"));
  const SafetensorsFile file(run.output + "-rescued-2/model.safetensors");
  for (const auto& tensor : file.tensors()) CHECK(tensor.dtype == DType::float32);
  CHECK(read_json_file(run.output + "-rescued-2/config.json")["torch_dtype"] == "float32");
  CHECK(run.folder.entries() == 4);
}

TEST_CASE("a folder whose files are being replaced is not read") {
  const Run run;
  REQUIRE(run.finetune().status == 0);
  run.folder.write("tuned/greentrainer-incomplete.txt", "");
  const auto outcome = run_program({"evaluate", "--json", "--model", run.output, "--data", run.data});
  CHECK(outcome.status == 1);
  CHECK(has(outcome.err, "tuned: expected a whole folder, got one whose files were being replaced"));
}
