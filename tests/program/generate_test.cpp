// greentrainer generate and evaluate --generate, end to end on the embedded model.

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::string model = source_path("examples/data/stories260k").string();

Outcome generate(std::vector<std::string> more) {
  more.insert(more.begin(), {"generate", "--model", model});
  return run_program(std::move(more));
}

}  // namespace

TEST_CASE("generate goes on as published, in any batch, and says how fast") {
  const Json golden = read_json_file(source_path("tests/golden/models/stories260k-greedy.json"));
  const auto published = golden.at("text").get<std::string>();
  const std::string prompt = "Once upon a time, there was a little girl";
  REQUIRE(published.starts_with(prompt));

  const auto plain = generate({"--prompt", prompt, "--max-new-tokens", "40"});
  REQUIRE(plain.status == 0);
  CHECK(plain.out.size() > 40);
  CHECK(published.starts_with(prompt + " " +
                              plain.out.substr(0, plain.out.size() - 1)));  // its decoder takes off a leading space
  CHECK(plain.err.find("40 tokens in ") != std::string::npos);

  const TemporaryFolder folder;
  const std::string rows = Json{{"prompt", prompt}}.dump() + "\n\n" +
                           Json{{"prompt", "A dog"}, {"completion", " ran."}}.dump() + "\n" +
                           Json{{"prompt", prompt}}.dump() + "\n";
  const std::string data = folder.write("prompts.jsonl", rows).string();
  const Json report = generate({"--data", data, "--max-new-tokens", "40", "--batch-size", "2", "--json"}).json();
  REQUIRE(report["generations"].size() == 3);
  CHECK(report["generations"][0]["text"] == plain.out.substr(0, plain.out.size() - 1));
  CHECK(report["generations"][2]["ids"] == report["generations"][0]["ids"]);
  CHECK(report["generations"][1]["line"] == 3);
  CHECK(report["generations"][0]["ended"] == false);
  CHECK(report["generations"][0]["tokens"] == 40);
  CHECK(report["new_tokens"] == 120);
  CHECK(report["prompt_tokens"].get<Extent>() > 10);
  for (const char* field : {"seconds", "tokens_per_second"}) CHECK(report[field].get<double>() > 0);
}

TEST_CASE("the paper's beam search and seeded sampling give repeatable answers") {
  const auto json_of = [](std::vector<std::string> more) {
    more.insert(more.end(), {"--prompt", "Tom had a red", "--max-new-tokens", "12", "--json"});
    const Outcome outcome = generate(std::move(more));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return outcome.json()["generations"][0];
  };
  const Json paper =
      json_of({"--beams", "4", "--repetition-penalty", "2.5", "--length-penalty", "1", "--early-stopping"});
  CHECK(paper["score"].get<double>() < 0);
  CHECK_FALSE(json_of({}).contains("score"));
  const Json drawn = json_of({"--temperature", "1", "--seed", "5"});
  CHECK(drawn == json_of({"--temperature", "1", "--seed", "5", "--threads", "1"}));
  CHECK(drawn["ids"] != json_of({"--temperature", "1", "--seed", "6"})["ids"]);
  CHECK(json_of({"--temperature", "1", "--top-k", "1"})["ids"] == json_of({})["ids"]);
}

TEST_CASE("evaluate --generate scores answers against completions") {
  const TemporaryFolder folder;
  const std::string prompt = "Once upon a time, there was a little girl";
  const Json said = generate({"--prompt", prompt, "--max-new-tokens", "20", "--json"}).json()["generations"][0];
  const std::string data =
      folder
          .write("data.jsonl", Json{{"prompt", prompt}, {"completion", said["text"]}}.dump() + "\n" +
                                   Json{{"prompt", "A dog"}, {"completion", " qqq"}}.dump() + "\n")
          .string();
  const std::vector<std::string> command = {"evaluate", "--model", model, "--data", data};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), command.begin(), command.end());
    return run_program(std::move(more));
  };
  const Json report = with({"--generate", "--max-new-tokens", "20", "--json"}).json();
  CHECK(report["loss"] == with({"--json"}).json()["loss"]);
  for (const char* name : {"rouge1", "rouge2", "rougeL", "rougeLsum"}) CHECK(report["rouge"][name] == 0.5);
  REQUIRE(report["generations"].size() == 2);
  CHECK(report["generations"][0]["scores"]["rougeL"] == 1);
  CHECK(report["generations"][0]["ids"] == said["ids"]);
  CHECK(report["generation"]["new_tokens"] == 40);
  CHECK(with({"--generate", "--max-new-tokens", "20"})
            .out.find("rouge1 0.5000, rouge2 0.5000, rougeL 0.5000, rougeLsum 0.5000 over 2 generated texts") !=
        std::string::npos);

  const auto refused = [](const Outcome& outcome, int status, const char* part) {
    CAPTURE(outcome.err);
    CHECK(outcome.status == status);
    CHECK(outcome.error_lines() == 1);
    CHECK(outcome.err.find(part) != std::string::npos);
  };
  refused(with({"--beams", "4"}), 2, "--beams: expected not to be given with evaluation without --generate");
  const std::string open = folder
                               .write("open.jsonl", R"({"prompt": "A dog", "completion": " ran"})"
                                                    "\n"
                                                    R"({"prompt": "A cat"})"
                                                    "\n")
                               .string();
  refused(run_program({"evaluate", "--model", model, "--data", open, "--generate"}), 1, "line 2");
}

TEST_CASE("generate refuses what has no effect and what does not fit, in one line") {
  const std::vector<std::tuple<std::vector<std::string>, int, std::string>> cases = {
      {{}, 2, "--prompt: expected one of --prompt and --data, got neither"},
      {{"--prompt", "x", "--data", "y"}, 2, "got both"},
      {{"--prompt", "x", "--top-k", "3"}, 2, "--top-k: expected not to be given with --temperature 0"},
      {{"--prompt", "x", "--beams", "2", "--temperature", "1"}, 2, "--beams"},
      {{"--prompt", "x", "--early-stopping"}, 2, "--early-stopping: expected not to be given with --beams 1"},
      {{"--prompt", "x", "--batch-size", "2"}, 2, "--batch-size"},
      {{"--prompt", "x", "--min-new-tokens", "9", "--max-new-tokens", "8"},
       2,
       "--min-new-tokens: expected at most --max-new-tokens 8"},
      {{"--prompt", "x", "--top-p", "0"}, 2, "--top-p"},
      {{"--prompt", "x", "--beam", "2"}, 2, "did you mean --beams?"},
      {{"--prompt", "x", "--max-new-tokens", "600"}, 1, "prompt 0: expected at most 512 tokens"},
      {{"--prompt", "\xff"}, 1, "UTF-8"},
      {{"--data", "missing.jsonl"}, 1, "missing.jsonl"},
      {{"--prompt", "x", "--beams", "300"}, 1, "beams: expected 1 to half of the vocabulary"},
  };
  for (const auto& [arguments, status, part] : cases) {
    CAPTURE(part);
    const Outcome outcome = generate(arguments);
    CAPTURE(outcome.err);
    CHECK(outcome.status == status);
    CHECK(outcome.error_lines() == 1);
    CHECK(outcome.out.empty());
    CHECK(outcome.err.find(part) != std::string::npos);
  }
  const Outcome no_tokenizer = run_program({"generate", "--model", golden_model("opt-pre"), "--prompt", "x"});
  CHECK(no_tokenizer.status == 1);
  CHECK(no_tokenizer.err.find("tokenizer.json") != std::string::npos);
}

TEST_CASE("a vocabulary's control characters are escaped on a terminal, and as they are in a file") {
  const TemporaryFolder folder;
  for (const char* file : {"config.json", "model.safetensors", "tokenizer_config.json"})
    std::filesystem::copy_file(source_path("examples/data/stories260k") / file, folder / file);
  Json tokenizer = read_json_file(source_path("examples/data/stories260k/tokenizer.json"));
  // Red, in ESC and in the control character of one code point; and a carriage return.
  tokenizer["decoder"]["decoders"].push_back({{"type", "Replace"},
                                              {"pattern", {{"String", "a"}}},
                                              {"content",
                                               "\x1b[31m\xC2\x9B"
                                               "31m\ra"}});
  folder.write("tokenizer.json", tokenizer.dump());
  const std::vector<std::string> arguments = {
      "generate", "--model", folder.path().string(), "--prompt", "Once upon a time", "--max-new-tokens", "12"};
  const auto file = run_program(arguments);
  REQUIRE(file.status == 0);
  CHECK(file.out.find("\x1b[31m\xC2\x9B"
                      "31m\ra") != std::string::npos);
  const std::string shown = run_on_terminal(arguments);
  CAPTURE(shown);
  CHECK(shown.find("\\u001b[31m\\u009b31m\\u000da") != std::string::npos);
  CHECK(shown.find("\x1b[31m") == std::string::npos);
  CHECK(shown.find("\xC2\x9B") == std::string::npos);

  // Errors quote what is wrong.
  tokenizer["decoder"]["decoders"].back()["type"] = "\x1b[31mred\xC2\x9B";
  std::filesystem::remove(folder / "tokenizer.json");
  folder.write("tokenizer.json", tokenizer.dump());
  const std::string error = run_on_terminal(arguments);
  CAPTURE(error);
  CHECK(error.find("red") != std::string::npos);
  CHECK(error.find("\x1b[31m") == std::string::npos);
  CHECK(error.find("\xC2\x9B") == std::string::npos);
}
