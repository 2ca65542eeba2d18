// What --train takes beside JSON lines: standard input, gzip, plain text, and texts that are longer than --max-tokens.

#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "program/run_program.hpp"
#include "support/gzip.hpp"

using namespace greentrainer::testing;

namespace {

const std::string story = "once upon a time there was a cat who sat on the mat and looked at the moon all night";

Outcome finetune(const TemporaryFolder& folder, const std::string& train, std::vector<std::string> more = {},
                 const std::string& input = "/dev/null") {
  std::vector<std::string> arguments = {
      "finetune",   "--json",    "--model",         source_path("examples/data/stories260k").string(),
      "--train",    train,       "--output",        (folder / "tuned").string(),
      "--method",   "layernorm", "--steps",         "2",
      "--evaluate", "none",      "--learning-rate", "0.001"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return Program(arguments, input).wait();
}

}  // namespace

TEST_CASE("standard input, gzip and plain text train as the JSON lines that they stand for") {
  const std::string rows = "{\"text\": \"" + story + "\"}\n{\"text\": \"the end\"}\n";
  const TemporaryFolder data;
  const std::string plain = data.write("rows.jsonl", rows).string(),
                    packed = data.write("rows.gz", gzip(rows)).string(),
                    lines = data.write("rows.txt", story + "\nthe end\n").string();
  const TemporaryFolder first;
  const Outcome expected = finetune(first, plain);
  CAPTURE(expected.err);
  REQUIRE(expected.status == 0);
  const std::string weights = contents(first / "tuned/model.safetensors");
  const std::vector<std::pair<std::string, std::string>> sources = {
      {packed, "/dev/null"}, {lines, "/dev/null"}, {"-", plain}, {"-", packed}};
  for (const auto& [train, input] : sources) {
    CAPTURE(train);
    const TemporaryFolder folder;
    const Outcome outcome = finetune(folder, train, {}, input);
    CAPTURE(outcome.err);
    CHECK(outcome.status == 0);
    CHECK(contents(folder / "tuned/model.safetensors") == weights);
  }
}

TEST_CASE("standard input is read once") {
  const TemporaryFolder folder;
  const Outcome twice = finetune(folder, "-", {"--validation", "-"});
  CHECK(twice.status == 2);
  CHECK(has(twice.err, "--train and --validation: expected standard input for one of them, got it for both"));
  const Outcome empty = finetune(folder, "-");
  CHECK(empty.status == 1);
  CHECK(has(empty.err, "-: expected at least one row, got none"));
}

TEST_CASE("long texts lose their end unless they are packed, and either is said") {
  const TemporaryFolder folder;
  const std::string rows = folder.write("rows.txt", story + "\n" + story + "\n").string();
  const Outcome cut = finetune(folder, rows, {"--max-tokens", "8", "--overwrite"});
  CHECK(has(cut.err, "2 of 2 rows truncated to --max-tokens 8"));
  for (const char* pack : {"each", "joined"}) {
    const Outcome packed = finetune(folder, rows, {"--max-tokens", "8", "--overwrite", "--pack", pack});
    CAPTURE(packed.err);
    CHECK(packed.status == 0);
    CHECK(has(packed.err, "2 rows packed into "));
    CHECK(has(packed.err, std::string("sequences of at most --max-tokens 8 (--pack ") + pack + ")"));
    CHECK_FALSE(has(packed.err, "truncated"));
  }
  CHECK(finetune(folder, rows, {"--pack", "all"}).status == 2);
}
