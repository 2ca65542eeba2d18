// greentrainer chat, end to end on the embedded model with ChatML's tokens.

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"
#include "support/chat_model.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// A conversation with the embedded model; `said` is standard input.
struct Talk {
  TemporaryFolder folder;
  std::string model = write_chat_model(folder).string();

  Outcome operator()(const std::string& said, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"chat", "--model", model, "--max-new-tokens", "12"});
    return Program(std::move(more), folder.write("said", said).string()).wait();
  }
  /// What generate answers to a conversation.
  std::string answer(const OrderedJson& messages, std::vector<std::string> more = {}) const {
    const std::string data = folder.write("data.jsonl", OrderedJson{{"messages", messages}}.dump() + "\n").string();
    more.insert(more.begin(), {"generate", "--model", model, "--data", data, "--max-new-tokens", "12", "--json"});
    return run_program(std::move(more)).json()["generations"][0]["text"].get<std::string>();
  }
};

OrderedJson message(const char* role, const std::string& content) { return {{"role", role}, {"content", content}}; }

}  // namespace

TEST_CASE("an answer is what generate gives for the conversation so far, without prompt signs in a pipe") {
  const Talk talk;
  const Outcome outcome = talk("Hi\nAnd then?\n");
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  OrderedJson messages = {message("user", "Hi")};
  const std::string first = talk.answer(messages);
  messages.push_back(message("assistant", first));
  messages.push_back(message("user", "And then?"));
  CHECK(outcome.out == first + "\n" + talk.answer(messages) + "\n");
}

TEST_CASE("/reset begins anew with what the system says, /exit ends, and empty lines say nothing") {
  const Talk talk;
  const Outcome outcome = talk("Hi\n\n/reset\r\nHi\n/exit\nnever\n", {"--system", "Be short."});
  const std::string answer = talk.answer({message("system", "Be short."), message("user", "Hi")}) + "\n";
  CHECK(outcome.status == 0);
  CHECK(outcome.out == answer + answer);
}

TEST_CASE("draws follow from the seed, and each answer has its own") {
  const Talk talk;
  const std::vector<std::string> drawn = {"--temperature", "1", "--seed", "3"};
  const std::string out = talk("Hi\n/reset\nHi\n", drawn).out;
  CHECK(out == talk("Hi\n/reset\nHi\n", drawn).out);
  const std::size_t line = out.find('\n') + 1;
  CHECK(out.substr(0, line) != out.substr(line));
}

TEST_CASE("a conversation that outgrows the model's positions loses its oldest exchanges, and that is said") {
  const Talk talk;
  std::string said;
  for (int i = 0; i < 12; ++i) said += "Tell me a story about a dog and a cat who went to the park on a sunny day.\n";
  const Outcome outcome = talk(said);
  CHECK(outcome.status == 0);
  CHECK(has(outcome.err,
            "note: the conversation has outgrown the model's 512 positions; its oldest exchange is forgotten"));
  const Outcome too_long = talk(std::string(3000, 'x') + "\n");
  CHECK(too_long.status == 1);
  CHECK(has(too_long.err,
            "[chat] message: expected at most 501 tokens, the model's 512 positions less 12 for the answer"));
}

TEST_CASE("chat refuses models that cannot converse, and options of beams") {
  const auto refused = [](std::vector<std::string> more, int status, const char* says) {
    more.insert(more.begin(), "chat");
    const Outcome outcome = run_program(std::move(more));
    CAPTURE(outcome.err);
    CHECK(outcome.status == status);
    CHECK(outcome.error_lines() == 1);
    CHECK(has(outcome.err, says));
  };
  refused({"--model", source_path("examples/data/stories260k").string()}, 1,
          "expected a model with a chat template (chat_template.jinja, or chat_template in tokenizer_config.json), got "
          "none; take a model that was trained on conversations, put its template into the folder, or use generate");
  refused({"--model", golden_model("t5-tied-relu")}, 1, "expected a model that only decodes");
  refused({}, 2, "--model");
  refused({"--model", "x", "--beams", "2"}, 2, "--beams: expected an option of chat, got an unknown one");
  refused({"--model", "x", "--top-k", "2"}, 2, "--top-k: expected not to be given with --temperature 0");
}
