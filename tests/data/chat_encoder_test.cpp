// Conversations as examples and prompts: the ids and masks that transformers gives with the same chat template, loss on
// what the assistant says, and, where one is too long, whole turns go, or the end, or nothing.

#include "greentrainer/data/chat_encoder.hpp"

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/data/load_prompts.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/chat_model.hpp"
#include "support/paths.hpp"

using namespace greentrainer;
using greentrainer::testing::has;
using greentrainer::testing::TemporaryFolder;

namespace {

using Ids = std::vector<Index>;

std::string conversation(const std::vector<std::pair<std::string, std::string>>& said) {
  Json messages = Json::array();
  for (const auto& [role, content] : said) messages.push_back({{"role", role}, {"content", content}});
  return Json{{"messages", messages}}.dump() + "\n";
}

/// A byte-level tokenizer that has <|im_end|>, its EOS, with these files beside it.
std::shared_ptr<const Tokenizer> tokenizer_with(const std::vector<std::pair<std::string, std::string>>& files) {
  const TemporaryFolder folder;
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
    std::filesystem::copy_file(testing::source_folder() / "tests/golden/tokenizers/byte-bpe" / file, folder / file);
  for (const auto& [name, text] : files) folder.write(name, text);
  return load_tokenizer(folder.path());
}
std::shared_ptr<const Tokenizer> tokenizer_with(const std::string& jinja) {
  return tokenizer_with({{"chat_template.jinja", jinja}});
}

Dataset load(const std::string& rows, const Tokenizer& tokenizer, const DataOptions& options = {}) {
  const TemporaryFolder folder;
  return load_jsonl(folder.write("rows.jsonl", rows), tokenizer, options);
}

/// What carries loss, and what does not, as text: "question [answer]".
std::string shown(const Example& example, const Tokenizer& tokenizer) {
  std::string result;
  for (std::size_t i = 0; i < example.input_ids.size();) {
    const bool labelled = example.labels[i] != ignore_label;
    Ids run;
    for (; i < example.input_ids.size() && (example.labels[i] != ignore_label) == labelled; ++i)
      run.push_back(example.input_ids[i]);
    const std::string text = tokenizer.decode(run, false);
    result += labelled ? "[" + text + "]" : text;
  }
  return result;
}

/// The embedded model's, with ChatML's markers.
const Tokenizer& chat_tokenizer() {
  static const auto tokenizer = [] {
    const TemporaryFolder folder;
    return load_tokenizer(testing::write_chat_model(folder));
  }();
  return *tokenizer;
}

Dataset load(const std::string& rows, const DataOptions& options = {}) { return load(rows, chat_tokenizer(), options); }
std::string shown(const Example& example) { return shown(example, chat_tokenizer()); }

const std::string two_questions = conversation({{"user", "Tell me about the red dog and the big cat."},
                                                {"assistant", "It ran."},
                                                {"user", "And what is the name of the girl?"},
                                                {"assistant", "Lily."}});

const std::string say_twice = conversation(
    {{"system", "Be kind."}, {"user", "One?"}, {"assistant", "First."}, {"user", "Two?"}, {"assistant", "Second."}});

}  // namespace

TEST_CASE("texts and ids of apply_chat_template, and its mask where the template marks what the assistant says") {
  std::ifstream goldens(testing::source_folder() / "tests/golden/tokenizers/chats.jsonl");
  std::size_t lines = 0, masks = 0;
  for (std::string line; std::getline(goldens, line); ++lines) {
    CAPTURE(line);
    const Json golden = parse_json(line, "chats.jsonl");
    const auto tokenizer = tokenizer_with(golden.at("template").get<std::string>());
    const Json row = {{"messages", golden.at("messages")}};
    const TemporaryFolder folder;
    const auto path = folder.write("rows.jsonl", row.dump() + "\n" + R"({"text": "a b"})");
    const Dataset data = load_jsonl(path, *tokenizer);
    if (!golden.contains("mask")) {
      CHECK(data.examples.at(0).input_ids == golden.at("ids").get<Ids>());
      continue;
    }
    ++masks;
    const Ids ids = golden.at("ids").get<Ids>();
    Ids labels = ids;
    for (std::size_t t = 0; t < ids.size(); ++t)
      if (golden.at("mask").at(t) == 0) labels[t] = ignore_label;
    if (data.rows_dropped == 1) {
      CHECK(std::all_of(labels.begin(), labels.end(), [](Index label) { return label == ignore_label; }));
      continue;
    }
    CHECK(data.examples.at(0).input_ids == ids);
    CHECK(data.examples.at(0).labels == labels);
  }
  CHECK(lines == 35);
  CHECK(masks == 14);
}

TEST_CASE("without marks, what the assistant says is behind the text before it, with the token that ends its turn") {
  const struct {
    std::string jinja, text;
  } cases[] = {
      // A header, and a line break behind the turn that belongs to the next.
      {"{% for m in messages %}<{{ m.role }}>{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
       "<assistant>{% endif %}",
       "<system>Be kind.<|im_end|>\n<user>One?<|im_end|>\n<assistant>[First.<|im_end|>]\n<user>Two?<|im_end|>\n"
       "<assistant>[Second.<|im_end|>]\n"},
      // The system's words within the first question; the end of the turn is plain text.
      {"{% set s = messages[0].content if messages[0].role == 'system' else '' %}{% for m in messages %}"
       "{% if m.role == 'user' %}[INST] {{ s if loop.index < 3 }} {{ m.content }} [/INST]{% elif m.role == 'assistant' "
       "%} {{ m.content }} END.{% endif %}{% endfor %}",
       "[INST] Be kind. One? [/INST][ First. END.][INST]  Two? [/INST][ Second. END.]"},
      // Earlier answers lose their reasoning, so that the text changes with what follows; so does the header.
      {"{% for m in messages %}<{{ m.role }}>{% if loop.last and m.role == 'assistant' %}<think></think>{% endif %}"
       "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
       "<system>Be kind.<|im_end|>\n<user>One?<|im_end|>\n<assistant>[First.<|im_end|>]\n<user>Two?<|im_end|>\n"
       "<assistant>[<think></think>Second.<|im_end|>]\n"},
      // One more token at the end of all, and another one there.
      {"{% for m in messages %}<{{ m.role }}>{{ m.content }}<|im_end|>\n{% endfor %}{{ '<assistant>' if "
       "add_generation_prompt else '<|endoftext|>' }}",
       "<system>Be kind.<|im_end|>\n<user>One?<|im_end|>\n<assistant>[First.<|im_end|>]\n<user>Two?<|im_end|>\n"
       "<assistant>[Second.<|im_end|>\n<|endoftext|>]"},
      {"{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ '<|endoftext|>' if loop.last and m.role == 'assistant' "
       "else '<|im_end|>' }}{% endfor %}{{ '<assistant>' if add_generation_prompt }}",
       "<system>Be kind.<|im_end|><user>One?<|im_end|><assistant>[First.<|im_end|>]<user>Two?<|im_end|>"
       "<assistant>[Second.<|endoftext|>]"},
      {"{% for m in messages %}<{{ m.role }}>{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
       "<assistant><think>\n{% endif %}",
       "<system>Be kind.<|im_end|>\n<user>One?<|im_end|>\n<assistant>[First.<|im_end|>]\n<user>Two?<|im_end|>\n"
       "<assistant>[Second.<|im_end|>]\n"},
  };
  for (const auto& [jinja, text] : cases) {
    CAPTURE(jinja);
    const auto tokenizer = tokenizer_with(jinja);
    const Dataset data = load(say_twice, *tokenizer);
    CHECK(shown(data.examples.at(0), *tokenizer) == text);
    Ids ends;
    if (has(text, "<|im_end|>")) ends.push_back(*tokenizer->id("<|im_end|>"));
    if (has(text, "<|endoftext|>")) ends.push_back(*tokenizer->id("<|endoftext|>"));
    CHECK(data.end_of_turn_ids == ends);
  }
}

TEST_CASE("a template that tells nothing of where an answer stands is refused") {
  const auto tokenizer = tokenizer_with("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}");
  CHECK(has(testing::error_of<DataError>([&] { load(say_twice, *tokenizer); }),
            "line 1: messages: expected a chat template that writes the messages before number 3 alike"));
}

TEST_CASE("what the template does with tools, calls, reasoning and its own variables is trained") {
  const auto tokenizer = tokenizer_with(
      "{{ tone }}{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<{{ m.role }}>{% if "
      "m.reasoning_content %}"
      "({{ m.reasoning_content }}){% endif %}{% if m.content is string %}{{ m.content }}{% else %}{% for c in "
      "m.content "
      "%}{{ c.text }}{% endfor %}{% endif %}{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}{{ "
      "eos_token "
      "}}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}");
  const std::string row =
      R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "Add"}]}, {"role": "assistant",)"
      R"("thinking": "hm", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": {"b": 1, "a": 2}}}]},)"
      R"({"role": "tool", "name": "add", "content": "3"}, {"role": "assistant", "content": "It is 3."}],)"
      R"("tools": [{"z": 1, "a": 2}], "chat_template_kwargs": {"tone": "!"}})";
  const Dataset data = load(row, *tokenizer);
  CHECK(shown(data.examples.at(0), *tokenizer) ==
        R"(![{"z": 1, "a": 2}]<user>Add<|im_end|><assistant>[(hm){"name": "add", "arguments": {"b": 1, "a": 2}})"
        "<|im_end|>]<tool>3<|im_end|><assistant>[It is 3.<|im_end|>]");
  CHECK(data.ignored_keys == IgnoredKeys{{"messages.name", 1}});
}

TEST_CASE("templates are found where transformers finds them: the file, others by name, the configuration's field") {
  const std::string row = R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])";
  const std::string with_tools = row + R"(, "tools": [{"name": "t"}]})";
  const auto said = [&](const std::vector<std::pair<std::string, std::string>>& files, const std::string& text) {
    const auto tokenizer = tokenizer_with(files);
    return shown(load(text, *tokenizer).examples.at(0), *tokenizer);
  };
  const auto jinja = [](const std::string& name) {
    return name + "{% for m in messages %}<{{ m.content }}>{% endfor %}{{ '' if tools else '' }}";
  };
  const std::string config =
      Json{{"chat_template",
            {{{"name", "default"}, {"template", jinja("one")}}, {{"name", "tool_use"}, {"template", jinja("two")}}}}}
          .dump();
  CHECK(said({{"tokenizer_config.json", Json{{"chat_template", jinja("zero")}}.dump()}}, row + "}") == "zero<a>[<b>]");
  CHECK(said({{"tokenizer_config.json", config}}, row + "}") == "one<a>[<b>]");
  CHECK(said({{"tokenizer_config.json", config}}, with_tools) == "two<a>[<b>]");
  CHECK(said({{"tokenizer_config.json", config}, {"chat_template.jinja", jinja("three")}}, with_tools) ==
        "three<a>[<b>]");
  CHECK(said({{"additional_chat_templates/tool_use.jinja", jinja("four")}, {"chat_template.jinja", jinja("three")}},
             with_tools) == "four<a>[<b>]");
  CHECK(has(testing::error_of<DataError>([&] {
              said({{"additional_chat_templates/rag.jinja", jinja("five")}}, row + "}");
            }),
            "expected a chat template that is the default, got 1 others, as \"rag\""));
}

TEST_CASE("a template that cannot be read is refused by file, line and construct; one without, by what to do") {
  const auto error = testing::error_of<LoadError>([] { load(say_twice, *tokenizer_with("a\n{% include 'x' %}")); });
  CHECK(has(error, "chat_template.jinja, line 2, statement \"include\""));
  const TemporaryFolder folder;
  std::filesystem::copy_file(testing::source_folder() / "examples/data/stories260k/tokenizer.json",
                             folder / "tokenizer.json");
  CHECK(has(testing::error_of<DataError>([&] { load(say_twice, *load_tokenizer(folder.path())); }),
            "expected a model with a chat template"));
}

TEST_CASE("a conversation that the template refuses is an error of its line") {
  const auto tokenizer = tokenizer_with("{{ raise_exception('Only questions!') }}");
  const auto error = testing::error_of<DataError>([&] { load(say_twice, *tokenizer); });
  CHECK(has(error, "rows.jsonl, line 1"));
  CHECK(has(error,
            "chat_template.jinja, line 1, raise_exception: the template refuses the conversation: Only questions!"));
}

TEST_CASE("a prompt ends with the header of an answer, and loses exchanges where it is too long") {
  const auto tokenizer = tokenizer_with(
      "{{ 'S:' + messages[0].content if messages[0].role == 'system' }}{% for m in messages if m.role != 'system' %}"
      "{{ m.role[0] }}:{{ m.content }};{% endfor %}{{ 'a:' if add_generation_prompt }}");
  const TemporaryFolder folder;
  const auto path = folder.write("rows.jsonl", say_twice);
  const auto prompt = [&](Extent max_tokens) {
    const Prompts prompts = load_prompts(path, *tokenizer, {.max_tokens = max_tokens}, 1);
    CHECK(prompts.references.at(0) == std::vector<std::string>{"Second."});
    return tokenizer->decode(prompts.ids.at(0), false);
  };
  CHECK(prompt(0) == "S:Be kind.u:One?;a:First.;u:Two?;a:");
  const auto needed = static_cast<Extent>(tokenizer->encode("S:Be kind.u:Two?;a:").size());
  CHECK(prompt(needed + 1) == "S:Be kind.u:Two?;a:");
}

TEST_CASE("by turns the first question goes with its answer, and the template writes what is left") {
  const Dataset whole = load(two_questions);
  CHECK(whole.examples.at(0).input_ids.size() == 83);
  CHECK(whole.end_of_turn_ids == Ids{258});
  const Dataset data = load(two_questions, {.max_tokens = 45});
  CHECK(data.rows_truncated == 1);
  CHECK(data.first_truncated_line == 1);
  CHECK(data.turns_dropped == 2);
  const Ids question = {257, 318, 419, 285, 13,  447, 264, 263, 415, 294, 410, 293, 265, 390, 411, 373, 265,
                        298, 315, 421, 450, 258, 410, 13,  257, 261, 419, 419, 293, 413, 303, 413, 13};
  const Ids answer = {438, 310, 426, 258};
  Ids ids = question, labels(question.size(), ignore_label);
  ids.insert(ids.end(), answer.begin(), answer.end());
  labels.insert(labels.end(), answer.begin(), answer.end());
  for (const Index id : {410, 13}) {  // the line break behind the turn
    ids.push_back(id);
    labels.push_back(ignore_label);
  }
  CHECK(data.examples.at(0).input_ids == ids);
  CHECK(data.examples.at(0).labels == labels);
}

TEST_CASE("by the end tokens go from there, as in TRL's keep_start") {
  const Dataset whole = load(two_questions),
                data = load(two_questions, {.max_tokens = 45, .truncation = Truncation::end});
  const Ids& ids = whole.examples.at(0).input_ids;
  CHECK(data.examples.at(0).input_ids == Ids(ids.begin(), ids.begin() + 45));
  CHECK(data.examples.at(0).labels == Ids(whole.examples[0].labels.begin(), whole.examples[0].labels.begin() + 45));
  CHECK(data.turns_dropped == 0);
  CHECK(load(two_questions + two_questions, {.max_tokens = 45, .truncation = Truncation::end}).rows_truncated == 2);
}

TEST_CASE("a row that may not be cut is an error that names file and line") {
  const auto error = testing::error_of<DataError>([] {
    load(conversation({{"user", "Hi"}, {"assistant", "Yes"}}) + two_questions,
         {.max_tokens = 45, .truncation = Truncation::refuse});
  });
  CHECK(has(error, "rows.jsonl, line 2: messages: expected at most 45 tokens, got 83"));
}

TEST_CASE("an answer stays with its header, its question and the system message, whatever the limit") {
  const std::string row = conversation({{"system", "Be kind."},
                                        {"user", "One?"},
                                        {"assistant", "First."},
                                        {"user", "Two?"},
                                        {"user", "Or three?"},
                                        {"assistant", "Second."},
                                        {"user", "Bye"}});
  const std::string system = "<|im_start|>system\nBe kind.<|im_end|>",
                    first = "\n<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n[First.<|im_end|>]",
                    second =
                        "\n<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>user\nOr three?<|im_end|>\n"
                        "<|im_start|>assistant\n[Second.<|im_end|>]",
                    rest = "\n<|im_start|>user\nBye<|im_end|>\n";
  const Dataset whole = load(row);
  const auto squeezed = [](std::string text) {  // the tokenizer puts a space behind every special token
    std::erase(text, ' ');
    return text;
  };
  CHECK(squeezed(shown(whole.examples.at(0))) == squeezed(system + first + second + rest));
  std::set<std::string> seen;
  for (auto limit = static_cast<Extent>(whole.examples[0].input_ids.size()) - 1; limit >= 2; --limit) {
    const Dataset data = load(row + R"({"input_ids": [5, 6], "labels": [5, 6]})", {.max_tokens = limit});
    if (data.rows_dropped == 1) {
      seen.insert("");
      continue;
    }
    CHECK(static_cast<Extent>(data.examples.at(0).input_ids.size()) <= limit);
    CHECK(data.rows_truncated == 1);
    seen.insert(squeezed(shown(data.examples[0])));
  }
  CHECK(seen == std::set<std::string>{"", squeezed(system + first + second + "\n"), squeezed(system + second + "\n")});
}

TEST_CASE("a conversation without an answer that fits is dropped, and counted") {
  const Dataset data = load(two_questions + R"({"text": "a"})", {.max_tokens = 20});
  CHECK(data.rows_dropped == 1);
  CHECK(data.lines == std::vector<Extent>{2});
}
