#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "greentrainer/data/chat_encoder.hpp"
#include "greentrainer/data/conversation.hpp"
#include "greentrainer/data/dataset.hpp"
#include "greentrainer/data/encoded_row.hpp"
#include "greentrainer/data/prompt_encoder.hpp"
#include "greentrainer/data/row_keys.hpp"

namespace greentrainer {

/// Turns rows of JSON into examples, by the fields that they have: `prompt` and `completion` (PromptEncoder),
/// `messages` (ChatEncoder), `text`, which carries loss throughout, BOS in front and EOS behind unless they are there,
/// or `input_ids` and `labels`. Too long ones are cut as DataOptions::truncation says, but for texts that are to be
/// packed, which stay whole; rows that are left without a
/// label are dropped and counted. Keys that nothing reads are counted, or refused where they would change what is
/// trained. For one thread.
class RowEncoder {
 public:
  /// `tokenizer` may be null for rows of input_ids and labels.
  RowEncoder(const Tokenizer* tokenizer, DataOptions options) : tokenizer_(tokenizer), options_(std::move(options)) {
    if (options_.max_tokens == 0) options_.max_tokens = std::numeric_limits<Extent>::max();
    if (options_.max_tokens < 2)
      throw ConfigError("load_jsonl", "max_tokens", text("expected at least 2, got ", options_.max_tokens));
    if (options_.packing != Packing::none && options_.target) {
      throw ConfigError("load_jsonl", "packing",
                        "expected none for an encoder-decoder model, whose texts are prompts and completions");
    }
    if (tokenizer_ == nullptr) return;
    if (options_.vocabulary == 0) options_.vocabulary = tokenizer_->vocab_size();
    prompts_.emplace(*tokenizer_, options_.max_tokens, options_.truncation, options_.target);
  }

  /// Adds the row to the data set, or counts it as dropped. Throws DataError saying what is wrong with it.
  void add(const OrderedJson& row, Extent line, Dataset& dataset) const {
    if (!row.is_object()) throw DataError("data", "row", text("expected a JSON object, got ", row.type_name()));
    bool truncated = false;
    std::optional<Example> example = checked(example_of(row, truncated, dataset));
    dataset.add(std::move(example), line, truncated);
  }
  /// The same for a row of a data set, with its first reference as the completion.
  void add(const DatasetRow& row, Dataset& dataset) const {
    require_tokenizer();
    bool truncated = false;
    std::optional<Example> example = checked(prompts_->example(row, row.references.front(), truncated));
    for (const std::string& key : row.unread) ++dataset.ignored_keys[key];
    dataset.add(std::move(example), row.line, truncated);
  }

 private:
  std::optional<Example> example_of(const OrderedJson& row, bool& truncated, Dataset& dataset) const {
    const RowForm form = form_of(row);
    if (options_.packing == Packing::joined && form != RowForm::text)
      throw DataError("data", "row", "expected text, since all rows are to be joined (packing), got another form");
    if (form == RowForm::conversation) return chat_example(row, truncated, dataset);
    row_keys::account_for_row(row, form, options_.target.has_value(), dataset.ignored_keys);
    switch (form) {
      case RowForm::ids: return encoded_row::example(row, options_, truncated);
      case RowForm::completion: return completion_example(row, truncated);
      case RowForm::conversation: break;
      case RowForm::text: return text_example(json_fields::text(row, "text"), truncated);
    }
    return std::nullopt;
  }

  void require_tokenizer() const {
    if (tokenizer_ == nullptr)
      throw DataError("data", "row",
                      "expected input_ids and labels, since the model folder has no tokenizer, got text");
  }
  [[noreturn]] static void refuse_missing_source() {
    throw DataError("data", "row", "expected a prompt beside the completion for an encoder-decoder model, got none");
  }

  std::optional<Example> completion_example(const OrderedJson& row, bool& truncated) const {
    const DatasetRow pair = completion_row(json_fields::text(row, "prompt"), json_fields::text(row, "completion"));
    require_tokenizer();
    if (options_.target && std::string_view(pair.prompt.front().text).empty()) refuse_missing_source();
    return prompts_->example(pair, pair.references.front(), truncated);
  }

  /// As an answer to nothing, of which the end may go, unless it is packed afterwards.
  std::optional<Example> text_example(const std::string& text, bool& truncated) const {
    require_tokenizer();
    if (options_.target) refuse_missing_source();
    std::vector<Index> ids = tokenizer_->encode(text);
    const bool begins = !ids.empty() && ids.front() == tokenizer_->bos_id();
    const bool adds_bos = tokenizer_->adds_bos() && !begins;
    if (tokenizer_->eos_id() && (ids.empty() || ids.back() != *tokenizer_->eos_id()))
      ids.push_back(*tokenizer_->eos_id());
    Example example{.input_ids = ids, .labels = ids, .source_ids = {}};
    if (adds_bos) {
      example.input_ids.insert(example.input_ids.begin(), *tokenizer_->bos_id());
      example.labels.insert(example.labels.begin(), ignore_label);
    }
    if (example.input_ids.empty()) return std::nullopt;
    if (options_.packing == Packing::none)
      truncated = cut_end(example, options_.max_tokens, options_.truncation, "text");
    return example;
  }

  std::optional<Example> chat_example(const OrderedJson& row, bool& truncated, Dataset& dataset) const {
    require_tokenizer();
    if (!chats_) chats_.emplace(*tokenizer_);
    if (options_.target) refuse_missing_source();
    const Conversation conversation = conversation_of(row);
    const auto reads = [&](std::string_view key) { return chats_->reads(conversation, key); };
    row_keys::account_for_conversation(row, reads, dataset.ignored_keys);
    ChatExample made = chats_->example(conversation, options_.max_tokens, options_.truncation);
    truncated = made.truncated;
    dataset.turns_dropped += made.turns_dropped;
    auto& ends = dataset.end_of_turn_ids;
    for (const Index end : made.end_of_turn_ids) {
      if (std::find(ends.begin(), ends.end(), end) == ends.end()) ends.push_back(end);
    }
    return std::move(made.example);
  }

  std::optional<Example> checked(std::optional<Example> example) const {
    if (example) {
      check_ids(example->source_ids, options_.vocabulary);
      check_ids(example->input_ids, options_.vocabulary);
    }
    return example;
  }

  const Tokenizer* tokenizer_;
  DataOptions options_;
  std::optional<PromptEncoder> prompts_;
  mutable std::optional<ChatEncoder> chats_;  // where a row needs it: a template may be one that cannot be read
};

}  // namespace greentrainer
