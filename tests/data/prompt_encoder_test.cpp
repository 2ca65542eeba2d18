// Prompts of data sets as ids: what stands where, and what goes when there is no room.

#include "greentrainer/data/prompt_encoder.hpp"

#include <doctest/doctest.h>

#include "greentrainer/data/dataset_row.hpp"
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
    bool truncated = true;
    const auto example = PromptEncoder(*t, 512).example(summary, "a cat", truncated);
    Ids whole = t->encode("the cat sat on the mat and looked at the moon TL;DR: a cat") + eos(*t);
    if (t->adds_bos()) whole = Ids{*t->bos_id()} + whole;
    REQUIRE(example);
    CHECK(example->input_ids == whole);
    CHECK(example->labels ==
          unlabelled(prompt) + Ids(whole.begin() + static_cast<std::ptrdiff_t>(prompt.size()), whole.end()));
  }
}

TEST_CASE("a long source loses its front, or by the paper's way its end; what tells the model what to do stays") {
  const Tokenizer& t = *sentence_piece;
  const Ids whole = t.encode("the cat sat on the mat and looked at the moon");
  const Ids all = t.encode("the cat sat on the mat and looked at the moon TL;DR:");
  const Ids instruction(all.begin() + static_cast<std::ptrdiff_t>(whole.size()), all.end());
  CHECK(PromptEncoder(t, 20).prompt(summary, 4).ids == Ids{*t.bos_id()} + Ids(all.end() - 15, all.end()));
  const PromptEncoder encoder(t, 20, Truncation::end);
  const auto got = encoder.prompt(summary, 4);
  CHECK(got.truncated);
  REQUIRE(got.ids.size() == 16);
  CHECK(got.ids.front() == *t.bos_id());
  CHECK(Ids(got.ids.end() - static_cast<std::ptrdiff_t>(instruction.size()), got.ids.end()) == instruction);
  CHECK(
      std::equal(got.ids.begin() + 1, got.ids.end() - static_cast<std::ptrdiff_t>(instruction.size()), whole.begin()));

  const auto nothing_but_bos = encoder.prompt(summary, 19);
  CHECK(nothing_but_bos.ids == Ids{*t.bos_id()});
  CHECK_THROWS_WITH_AS(PromptEncoder(t, 20, Truncation::refuse).prompt(summary, 4),
                       doctest::Contains("prompt: expected at most 16 tokens, got "), DataError);
}

TEST_CASE("of several parts the first is cut first, separators stay") {
  const Tokenizer& t = *byte_level;
  const PromptEncoder encoder(t, 512);
  const auto length = static_cast<Extent>(encoder.prompt(question, 0).ids.size());
  const Ids goal = t.encode("goal:open the jar"),
            rest = eos(t) + t.encode("sol1:turn it") + eos(t) + t.encode("sol2:eat it") + eos(t) + t.encode("label:");
  CHECK(PromptEncoder(t, length - 2).prompt(question, 0).ids == Ids(goal.begin() + 2, goal.end()) + rest);
  CHECK(PromptEncoder(t, length - 2, Truncation::end).prompt(question, 0).ids ==
        Ids(goal.begin(), goal.end() - 2) + rest);
}

TEST_CASE("an answer is never cut: without room for it there is no example") {
  const Tokenizer& t = *sentence_piece;
  const auto answer = static_cast<Extent>(t.encode("x a cat").size() - t.encode("x").size()) + 1;
  const Ids joint = t.encode("x a cat");
  const Ids a_cat(joint.end() - (answer - 1), joint.end());
  bool truncated = false;
  const auto with_bos_alone = PromptEncoder(t, answer + 1).example(summary, "a cat", truncated);
  REQUIRE(with_bos_alone);
  CHECK(with_bos_alone->input_ids == Ids{*t.bos_id()} + a_cat + eos(t));
  CHECK(truncated);
  CHECK(!PromptEncoder(t, answer).example(summary, "a cat", truncated));
}

TEST_CASE("an encoder reads its own prompt with EOS behind it, the decoder says the answer alone") {
  const Tokenizer& t = *sentence_piece;
  const TargetOptions target{.shift = {.start = 7, .pad = 9}, .max_tokens = 20};
  bool truncated = false;
  const auto example = PromptEncoder(t, 512, Truncation::turns, target).example(summary, "a cat", truncated);
  REQUIRE(example);
  CHECK(example->source_ids == t.encode("summarize: the cat sat on the mat and looked at the moon") + eos(t));
  CHECK(example->input_ids == Ids{7} + t.encode("a cat") + eos(t));
  CHECK(example->labels == Ids{ignore_label} + t.encode("a cat") + eos(t));
  const auto asked = PromptEncoder(t, 512, Truncation::turns, target).prompt(question, 0);
  CHECK(asked.ids == t.encode("goal:open the jar") + eos(t) + t.encode("sol1:turn it") + eos(t) +
                         t.encode("sol2:eat it") + eos(t) + t.encode("label:") + eos(t));
  const TargetOptions short_target{.shift = {}, .max_tokens = 2};
  CHECK(!PromptEncoder(t, 512, Truncation::turns, short_target).example(summary, "a cat", truncated));
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

TEST_CASE("EOS that an answer or a source ends with is not added again, nor BOS that a prompt begins with") {
  const Tokenizer& t = *sentence_piece;
  bool truncated = false;
  const auto once = PromptEncoder(t, 512).example(completion_row("The dog", " ran."), " ran.", truncated),
             written = PromptEncoder(t, 512).example(completion_row("<s>The dog", " ran.</s>"), " ran.</s>", truncated);
  REQUIRE((once && written));
  CHECK(once->input_ids == Ids{1} + t.encode("The dog ran.") + eos(t));
  CHECK(written->input_ids == once->input_ids);
  CHECK(written->labels == once->labels);
  const TargetOptions target{.shift = {.start = 7, .pad = 9}, .max_tokens = 20};
  const PromptEncoder encoder(t, 512, Truncation::turns, target);
  const auto plain = encoder.example(completion_row("The dog", "ran"), "ran", truncated),
             ended = encoder.example(completion_row("The dog</s>", "ran</s>"), "ran</s>", truncated);
  REQUIRE((plain && ended));
  CHECK(plain->source_ids == t.encode("The dog") + eos(t));
  CHECK(ended->source_ids == plain->source_ids);
  CHECK(ended->input_ids == plain->input_ids);
}

TEST_CASE("candidates go on from the ids that the prompt has with each of them") {
  const Tokenizer& t = *byte_level;
  DatasetRow row = completion_row("It is wo", "");
  const auto apart = PromptEncoder(t, 512).candidates(row, {"nderful", " no"});
  const Ids first = t.encode("It is wonderful"), second = t.encode("It is wo no");
  CHECK(apart.prompt.ids + apart.answers[0] == first);
  CHECK(apart.prompt.ids + apart.answers[1] == second);
  const Ids alone = t.encode("It is wo");
  CHECK(apart.prompt.ids.size() < alone.size());
  CHECK(std::equal(apart.prompt.ids.begin(), apart.prompt.ids.end(), alone.begin()));
}
