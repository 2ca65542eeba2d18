// greentrainer export, end to end on the embedded model.

#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "greentrainer/io/gguf.hpp"
#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::string model = source_path("examples/data/stories260k").string();

Outcome export_to(const std::filesystem::path& output, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"export", "--model", model, "--output", output.string()});
  return run_program(std::move(more));
}

void refused(const Outcome& outcome, int status, std::string_view says) {
  CAPTURE(outcome.err);
  CHECK(outcome.status == status);
  CHECK(outcome.error_lines() == 1);
  CHECK(has(outcome.err, says));
}

}  // namespace

TEST_CASE("an exported file generates what the folder does, and says what it is") {
  const TemporaryFolder folder;
  const Outcome plain = export_to(folder / "out.gguf", {"--format", "f32"});
  REQUIRE_MESSAGE(plain.status == 0, plain.err);
  CHECK(has(plain.out, "out.gguf: architecture llama, 47 tensors, "));
  CHECK(folder.entries() == 1);
  const auto generated = [](const std::string& from) {
    return run_program({"generate", "--model", from, "--prompt", "Once upon a time", "--max-new-tokens", "8"}).out;
  };
  CHECK(generated((folder / "out.gguf").string()) == generated(model));

  const Json json = export_to(folder / "q8_0.gguf", {"--format", "q8_0", "--name", "tiny", "--json"}).json();
  CHECK(json.at("bytes") == std::filesystem::file_size(folder / "q8_0.gguf"));
  CHECK(json.at("architecture") == "llama");
  CHECK(json.at("notices").size() == 1);
  CHECK(GgufFile(folder / "q8_0.gguf").metadata().at("general.name") == "tiny");
}

TEST_CASE("a file that is there is replaced only where that is asked for, and a folder never") {
  const TemporaryFolder folder;
  const auto output = folder.write("out.gguf", "before");
  refused(export_to(output), 1,
          "expected nothing there, got a file; choose another output, or replace it (--overwrite)");
  CHECK(contents(output) == "before");
  CHECK(export_to(output, {"--overwrite"}).status == 0);
  CHECK(contents(output).starts_with("GGUF"));
  refused(export_to(folder.path(), {"--overwrite"}), 1, "expected the name of a file, got a folder");
  refused(run_program({"export", "--model", output.string(), "--output", output.string(), "--overwrite"}), 1,
          "expected another file than the model itself");
}

TEST_CASE("export refuses a wrong format, an unwritable folder and a model without a form in GGUF, in one line") {
  const TemporaryFolder folder;
  refused(export_to(folder / "out.gguf", {"--format", "q4_0"}), 2,
          "--format: expected f32, f16, bf16 or q8_0, got q4_0");
  refused(run_program({"export", "--model", model}), 2, "--output");
  refused(export_to(folder / "no/such/out.gguf"), 1, "out.gguf: expected to create a file beside it");
  refused(run_program({"export", "--model", golden_model("opt-pre"), "--output", (folder / "out.gguf").string()}), 1,
          "got opt");
  const std::string olmo2 = source_path("tests/golden/architectures/olmo2").string();
  refused(run_program({"export", "--model", olmo2, "--output", (folder / "out.gguf").string()}), 1,
          "field \"model_type\": expected one that GGUF files are written of");
  if (::geteuid() != 0) {
    const TemporaryFolder closed;
    ::chmod(closed.path().c_str(), 0500);
    refused(export_to(closed / "out.gguf"), 1, "expected to create a file beside it");
    ::chmod(closed.path().c_str(), 0700);
  }
  CHECK(folder.entries() == 0);
}
