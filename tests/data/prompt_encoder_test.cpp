// Prompts of data sets as ids: what stands where, and what goes when there is no room.

#include "greentrainer/data/prompt_encoder.hpp"

#include <doctest/doctest.h>

#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;

namespace {

using Ids = std::vector<Index>;

// Byte-level BPE with <|endoftext|> as EOS and no BOS, and a SentencePiece-style one with both.
const auto byte_level = load_tokenizer(testing::source_folder() / "tests/golden/tokenizers/byte-bpe");
const auto sentence_piece = load_tokenizer(testing::source_folder() / "examples/data/stories260k");

Ids operator+(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Ids eos(const Tokenizer& tokenizer) { return {*tokenizer.eos_id()}; }
Ids unlabelled(const Ids& ids) { return Ids(ids.size(), ignore_label); }

const DatasetRow question = choice_row(
    {{.text = "goal:open the jar"}, {.text = "sol1:turn it"}, {.text = "sol2:eat it"}}, "label", {"0", "1"}, 1);
const DatasetRow summary = summary_row("the cat sat on the mat and looked at the moon", {"a cat"});

}  // namespace

TEST_CASE("the paper's question: EOS between the parts, the answer behind its name, loss on the answer and its EOS") {
  const Tokenizer& t = *byte_level;
  const Ids prompt = t.encode("goal:open the jar") + eos(t) + t.encode("sol1:turn it") + eos(t) +
                     t.encode("sol2:eat it") + eos(t) + t.encode("label:");
  const Ids answer = t.encode("1") + eos(t);
  bool truncated = true;
  const auto example = PromptEncoder(t, 512).example(question, question.references.front(), truncated);
  REQUIRE(example);
  CHECK(example->input_ids == prompt + answer);
  CHECK(example->labels == unlabelled(prompt) + answer);
  CHECK(!truncated);
}

TEST_CASE("the paper's summary: source and TL;DR are one text, BOS in front where sequences have it") {
  for (const Tokenizer* t : {byte_level.get(), sentence_piece.get()}) {
    Ids prompt = t->encode("the cat sat on the mat and looked at the moon TL;DR:");
    if (t->adds_bos()) prompt = Ids{*t->bos_id()} + prompt;
    const auto got = PromptEncoder(*t, 512).prompt(summary, 10);
    CHECK(got.ids == prompt);
    CHECK(!got.truncated);
    CHECK(PromptEncoder(*t, 512).answer(summary, "a cat", true) == t->encode(" a cat") + eos(*t));
  }
}

TEST_CASE("a long source loses its end; what tells the model what to do stays") {
  const Tokenizer& t = *sentence_piece;
  const Ids whole = t.encode("the cat sat on the mat and looked at the moon"), instruction = t.encode(" TL;DR:");
  const PromptEncoder encoder(t, 20);
  const auto got = encoder.prompt(summary, 4);
  CHECK(got.truncated);
  REQUIRE(got.ids.size() == 16);
  CHECK(got.ids.front() == *t.bos_id());
  CHECK(Ids(got.ids.end() - static_cast<std::ptrdiff_t>(instruction.size()), got.ids.end()) == instruction);
  CHECK(
      std::equal(got.ids.begin() + 1, got.ids.end() - static_cast<std::ptrdiff_t>(instruction.size()), whole.begin()));

  const auto nothing_but_bos = encoder.prompt(summary, 19);
  CHECK(nothing_but_bos.ids == Ids{*t.bos_id()});
}

TEST_CASE("of several parts the first loses its end first, separators stay") {
  const Tokenizer& t = *byte_level;
  const PromptEncoder encoder(t, 512);
  const auto length = static_cast<Extent>(encoder.prompt(question, 0).ids.size());
  const auto cut = PromptEncoder(t, length - 2).prompt(question, 0);
  Ids goal = t.encode("goal:open the jar");
  goal.resize(goal.size() - 2);
  CHECK(cut.ids ==
        goal + eos(t) + t.encode("sol1:turn it") + eos(t) + t.encode("sol2:eat it") + eos(t) + t.encode("label:"));
}

TEST_CASE("an answer is never cut: without room for it there is no example") {
  const Tokenizer& t = *sentence_piece;
  const auto answer = static_cast<Extent>(t.encode(" a cat").size()) + 1;
  bool truncated = false;
  const auto with_bos_alone = PromptEncoder(t, answer + 1).example(summary, "a cat", truncated);
  REQUIRE(with_bos_alone);
  CHECK(with_bos_alone->input_ids == Ids{*t.bos_id()} + t.encode(" a cat") + eos(t));
  CHECK(truncated);
  CHECK(!PromptEncoder(t, answer).example(summary, "a cat", truncated));
}

TEST_CASE("an encoder reads its own prompt with EOS behind it, the decoder says the answer alone") {
  const Tokenizer& t = *sentence_piece;
  const TargetOptions target{.shift = {.start = 7, .pad = 9}, .max_tokens = 20};
  bool truncated = false;
  const auto example = PromptEncoder(t, 512, target).example(summary, "a cat", truncated);
  REQUIRE(example);
  CHECK(example->source_ids == t.encode("summarize: the cat sat on the mat and looked at the moon") + eos(t));
  CHECK(example->input_ids == Ids{7} + t.encode("a cat") + eos(t));
  CHECK(example->labels == Ids{ignore_label} + t.encode("a cat") + eos(t));
  const auto asked = PromptEncoder(t, 512, target).prompt(question, 0);
  CHECK(asked.ids == t.encode("goal:open the jar") + eos(t) + t.encode("sol1:turn it") + eos(t) +
                         t.encode("sol2:eat it") + eos(t) + t.encode("label:") + eos(t));
  CHECK(!PromptEncoder(t, 512, TargetOptions{.shift = {}, .max_tokens = 2}).example(summary, "a cat", truncated));
}

TEST_CASE("a data set's file becomes examples with the first reference, the lines they are on, and counts") {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("dev.jsonl",
                                 "{\"source\": [\"The cat.\", \"It sat.\"], \"target\": [\"A cat sat.\", "
                                 "\"Sat.\"]}\n\n{\"source\": [\"x\"], \"target\": [\"" +
                                     std::string(400, 'y') + "\"]}\n");
  const Tokenizer& t = *byte_level;
  const Dataset data = load_jsonl(path, t, {.max_tokens = 40, .dataset = "scitldr"});
  CHECK(data.rows == 2);
  CHECK(data.rows_dropped == 1);
  CHECK(data.lines == std::vector<Extent>{1});
  CHECK(data.examples.at(0).input_ids == t.encode("The cat. It sat. TL;DR:") + t.encode(" A cat sat.") + eos(t));
  CHECK_THROWS_WITH_AS(load_jsonl(path, nullptr, {.dataset = "scitldr"}),
                       doctest::Contains("dev.jsonl, line 1: row: expected input_ids and labels"), DataError);
}
