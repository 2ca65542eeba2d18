// Conversations are written as transformers' apply_chat_template writes them, for the templates that are known; the
// others are refused.

#include "greentrainer/data/chat_template.hpp"

#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::filesystem::path tokenizers = testing::source_folder() / "tests/golden/tokenizers";

}  // namespace

TEST_CASE("texts and ids of apply_chat_template, with and without a default system message") {
  std::ifstream goldens(tokenizers / "chatml.jsonl");
  std::size_t lines = 0;
  for (std::string line; std::getline(goldens, line); ++lines) {
    const Json golden = parse_json(line, "chatml.jsonl");
    CAPTURE(line);
    const auto chat = parse_chatml(golden.at("template").get<std::string>());
    REQUIRE(chat.has_value());
    std::string written;
    for (const auto& stretch : chatml_conversation(golden.at("messages"), *chat).stretches) written += stretch.text;
    CHECK(written == golden.at("text").get<std::string>());

    const TemporaryFolder folder;
    for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
      std::filesystem::copy_file(tokenizers / "byte-bpe" / file, folder / file);
    folder.write("chat_template.jinja", golden.at("template").get<std::string>());
    const auto tokenizer = load_tokenizer(folder.path());
    const auto data =
        load_jsonl(folder.write("data.jsonl", Json{{"messages", golden.at("messages")}}.dump()), *tokenizer);
    REQUIRE(data.examples.size() == 1);
    CHECK(data.examples[0].input_ids == golden.at("ids").get<std::vector<Index>>());
  }
  CHECK(lines == 21);
}

TEST_CASE("templates that do anything else are not taken for ChatML") {
  const std::string message =
      "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}";
  const std::string plain = "{% for message in messages %}" + message + "{% endfor %}";
  REQUIRE(parse_chatml(plain).has_value());
  const std::vector<std::string> others = {
      std::string(),
      "{{ bos_token }}" + plain,                                       // something in front
      plain + "x",                                                     // something behind
      "{% for message in messages %} " + message + "{% endfor %}",     // a space before each message
      "{% for message in messages %}" + message + "\n{% endfor %}",    // a line break behind each
      "{%- for message in messages -%}" + message + "{%- endfor -%}",  // white space control
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + "
      "'<|im_end|>' + '\\n'}}{% endfor %}",
      "{% for message in messages %}{{'<|start|>' + message['role'] + '\\n' + message['content'] + '<|end|>' + "
      "'\\n'}}{% endfor %}",
      "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
      "'<|im_start|>system\\nIt\\'s me<|im_end|>\\n' "
      "}}{% endif %}" +
          message + "{% endfor %}",  // an escape
      "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
      "'<|im_start|>system\\n' + date }}{% endif %}" +
          message + "{% endfor %}",
      "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
      "'<|im_start|>system\\n",  // cut off
      std::string("{{'"),
      std::string("{"),
  };
  for (const auto& other : others) {
    CAPTURE(other);
    CHECK_FALSE(parse_chatml(other).has_value());
  }
}

TEST_CASE("literals that are added up in a template take time in proportion to their number") {
  const auto seconds_for = [](char sign) {
    std::string jinja = "{{ 'a'";
    for (int i = 0; i < 150000; ++i) jinja.append(1, sign).append("'a'");
    const auto start = std::clock();
    CHECK_FALSE(parse_chatml(jinja + " }}").has_value());
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  const double kept_apart = seconds_for('-');
  CHECK(seconds_for('+') < 10 * kept_apart);
}

TEST_CASE("a conversation for a model with another template is refused by name") {
  const TemporaryFolder folder;
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
    std::filesystem::copy_file(tokenizers / "byte-bpe" / file, folder / file);
  folder.write("chat_template.jinja", "[INST] {{ messages[0]['content'] }} [/INST]");
  const auto data = folder.write(
      "data.jsonl", R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})");
  const auto error = error_of<DataError>([&] { load_jsonl(data, *load_tokenizer(folder.path())); });
  CHECK(has(error, "data.jsonl, line 1"));
  CHECK(has(error, "ChatML"));
}
