// How the program reads rows of text, from finetune over evaluate to generate: the same ids, the same ends, the same
// cuts, and nothing passed over without a word. Right values are transformers' and TRL's (tests/golden/README.md).

#include <filesystem>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"
#include "support/chat_model.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::string stories = source_path("examples/data/stories260k").string();

Json evaluate(const std::string& model, const std::string& rows, std::vector<std::string> more = {}) {
  const TemporaryFolder folder;
  more.insert(more.begin(),
              {"evaluate", "--model", model, "--data", folder.write("rows.jsonl", rows).string(), "--json"});
  const Outcome outcome = run_program(std::move(more));
  CAPTURE(outcome.err);
  REQUIRE(outcome.status == 0);
  return outcome.json();
}

}  // namespace

TEST_CASE("a completion that begins with a space gets no second one") {
  const Json rows =
      evaluate(stories, R"({"prompt": "Once upon a time, there was a", "completion": " little girl named Lily."})");
  CHECK(rows["tokens"] == 8);
  CHECK(rows["loss"].get<double>() == doctest::Approx(2.815455).epsilon(1e-5));  // transformers'
}

TEST_CASE("EOS that a row ends with is not trained twice") {
  const Json written = evaluate(
                 stories,
                 "{\"text\": \"The dog ran.</s>\"}\n{\"prompt\": \"The dog\", \"completion\": \" ran.</s>\"}\n"),
             added = evaluate(stories,
                              "{\"text\": \"The dog ran.\"}\n{\"prompt\": \"The dog\", \"completion\": \" ran.\"}\n");
  CHECK(written["examples"] == added["examples"]);
  CHECK(added["examples"][0]["tokens"] == 7);
  CHECK(added["examples"][1]["tokens"] == 4);
}

TEST_CASE("no EOS stands behind a prompt, whatever the tokenizer adds to texts") {
  const TemporaryFolder folder;
  const std::filesystem::path model = folder / "model";
  std::filesystem::copy(stories, model);
  OrderedJson settings = read_json_file<OrderedJson>(model / "tokenizer_config.json");
  settings["add_eos_token"] = true;
  folder.write("model/tokenizer_config.json", settings.dump());
  const auto generated = [&](const std::vector<std::string>& from) {
    std::vector<std::string> arguments = {"generate", "--model", model.string(), "--max-new-tokens", "8", "--json"};
    arguments.insert(arguments.end(), from.begin(), from.end());
    return run_program(std::move(arguments)).json()["generations"][0];
  };
  const Json typed = generated({"--prompt", "Once upon a time"}),
             read = generated({"--data", folder.write("rows.jsonl", R"({"prompt": "Once upon a time"})").string()});
  CHECK(typed["prompt_tokens"] == 5);  // [1, 403, 407, 261, 378] of transformers
  CHECK(read["prompt_tokens"] == 5);
  CHECK(typed["ids"] == read["ids"]);
}

TEST_CASE("a model that was trained on ChatML stops where the turn ends, and its folder says so") {
  const TemporaryFolder folder;
  const std::string model = write_chat_model(folder).string(), out = (folder / "out").string();
  const std::string data =
      folder
          .write("chat.jsonl",
                 R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"The dog."}]})")
          .string();
  const Outcome trained =
      run_program({"finetune", "--model", model, "--train", data, "--output", out, "--method", "full",
                   "--learning-rate", "3e-3", "--steps", "60", "--schedule", "constant", "--json"});
  CAPTURE(trained.err);
  REQUIRE(trained.status == 0);
  const Json ends = read_json_file(std::filesystem::path(out) / "generation_config.json").at("eos_token_id");
  CHECK(ends == Json({2, 258}));
  const Json answer =
      run_program({"generate", "--model", out, "--prompt", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
                   "--max-new-tokens", "24", "--json"})
          .json()["generations"][0];
  CHECK(answer["ended"] == true);
  CHECK(answer["ids"].back() == 258);
}

TEST_CASE("an encoder-decoder's padded row is the row without its padding") {
  const std::string model = golden_model("t5-tied-relu");
  const Json
      plain = evaluate(model, R"({"input_ids": [5, 6, 7, 1], "labels": [11, 12, 1]})"),
      padded = evaluate(
          model,
          R"({"input_ids": [5, 6, 7, 1, 0, 0, 0], "attention_mask": [1, 1, 1, 1, 0, 0, 0], "labels": [11, 12, 1, -100, -100]})");
  CHECK(plain["examples"] == padded["examples"]);
}

TEST_CASE("finetune, evaluate and generate cut alike, and say what they cut and did not read") {
  const TemporaryFolder folder;
  const std::string text = "the cat sat on the mat and looked at the moon and the stars";
  const std::string data =
      folder
          .write("rows.jsonl", Json{{"prompt", "the cat"}, {"completion", " ran."}, {"id", 1}}.dump() + "\n" +
                                   Json{{"prompt", text}, {"completion", " ran."}, {"id", 2}}.dump() + "\n")
          .string();
  const auto run = [&](std::vector<std::string> arguments, const std::string& truncation) {
    arguments.insert(arguments.end(), {"--model", stories, "--max-tokens", "24", "--truncation", truncation, "--json"});
    return run_program(std::move(arguments));
  };
  const Outcome trained =
      run({"finetune", "--train", data, "--output", (folder / "out").string(), "--method", "full", "--steps", "1"},
          "turns");
  CAPTURE(trained.err);
  REQUIRE(trained.status == 0);
  CHECK(trained.json()["rows_truncated"] == 1);
  CHECK(trained.json()["ignored_keys"] == Json{{"id", 2}});
  CHECK(has(trained.err, "1 of 2 rows truncated to --max-tokens 24 (--truncation turns), first on line 2"));
  CHECK(has(trained.err, "keys that are not read, and how often: id (2)"));

  const auto prompts = [&](const std::string& truncation) {
    return run({"generate", "--data", data, "--max-new-tokens", "4"}, truncation);
  };
  const Outcome by_front = prompts("turns"), by_end = prompts("end");
  CHECK(by_front.json()["rows_truncated"] == 1);
  CHECK(by_front.json()["ignored_keys"] == Json{{"id", 2}});
  CHECK(has(by_front.err, "1 of 2 prompts truncated to 20 tokens (--truncation turns), first on line 2"));
  // The same continuation as of the prompt's own end, and of its own start.
  CHECK(by_front.json()["generations"][1]["prompt_tokens"] == 20);
  CHECK(by_front.json()["generations"][1]["ids"] != by_end.json()["generations"][1]["ids"]);

  const Outcome refused = run({"evaluate", "--data", data}, "refuse");
  CHECK(refused.status == 1);
  CHECK(has(refused.err, "rows.jsonl, line 2: prompt: expected at most "));
  CHECK(run({"evaluate", "--data", data}, "front").status == 2);
}

TEST_CASE("an experiment scores with the cuts that it trains with, unless told") {
  const TemporaryFolder folder;
  const std::string rows = folder.write("rows.jsonl", golden_rows("llama-gqa-tied")).string();
  const auto evaluated_by = [&](const std::string& own) {
    const std::string output = (folder / ("results" + std::to_string(own.size()))).string();
    const auto plan =
        folder.write("plan.toml", "name = \"Cuts\"\noutput = \"" + output + "\"\nseeds = [1]\n[finetune]\nmodel = \"" +
                                      golden_model("llama-gqa-tied") + "\"\ntrain = \"" + rows +
                                      "\"\nmax-tokens = 5\ntruncation = \"end\"\n[evaluate]\ndata = \"" + rows +
                                      "\"\n" + own + "[[method]]\nname = \"untouched\"\nmethod = \"none\"\n");
    const Outcome outcome = run_program({"experiment", plan.string(), "--json"});
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return outcome.json()["cells"][0]["commands"][0].get<std::string>();
  };
  const std::string inherited = evaluated_by("");
  CHECK(has(inherited, "--max-tokens 5"));
  CHECK(has(inherited, "--truncation end"));
  const std::string told = evaluated_by("truncation = \"turns\"\n");
  CHECK(has(told, "--max-tokens 5"));
  CHECK(has(told, "--truncation turns"));
}
