#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "greentrainer/data/dataset.hpp"
#include "greentrainer/data/prompt_encoder.hpp"
#include "greentrainer/data/text_forms.hpp"

namespace greentrainer {

/// Turns rows of JSON into examples. Prompt and completion are tokenised apart and joined; the model's BOS goes in
/// front where it has one, its EOS behind the completion. An example that is too long loses the end of its prompt (as
/// in the paper's code), never a token of its completion; a plain text loses its end. Rows that are left without a
/// label are dropped and counted. For an encoder-decoder, prompt and completion, or input_ids and labels, are source
/// and target, each with its own EOS and limit.
class RowEncoder {
 public:
  /// `tokenizer` may be null for rows of input_ids and labels.
  RowEncoder(const Tokenizer* tokenizer, DataOptions options) : tokenizer_(tokenizer), options_(std::move(options)) {
    if (options_.max_tokens < 2)
      throw ConfigError("load_jsonl", text("--max-tokens: expected at least 2, got ", options_.max_tokens));
    if (tokenizer_ == nullptr) return;
    if (options_.vocabulary == 0) options_.vocabulary = tokenizer_->vocab_size();
    prompts_.emplace(*tokenizer_, options_.max_tokens, options_.target);
    if (tokenizer_->id("<|im_start|>")) {
      chat_ = tokenizer_->chat_template().empty() ? ChatMl{} : parse_chatml(tokenizer_->chat_template());
    }
  }

  /// Adds the row to the data set, or counts it as dropped. Throws DataError saying what is wrong with it.
  void add(const Json& row, Extent line, Dataset& dataset) const {
    if (!row.is_object()) throw DataError("data", text("row: expected a JSON object, got ", row.type_name()));
    bool truncated = false;
    std::optional<Example> example = checked(example_of(row, truncated));
    dataset.add(std::move(example), line, truncated);
  }
  /// The same for a row of a data set, with its first reference as the completion.
  void add(const DatasetRow& row, Dataset& dataset) const {
    require_tokenizer();
    bool truncated = false;
    std::optional<Example> example = checked(prompts_->example(row, row.references.front(), truncated));
    dataset.add(std::move(example), row.line, truncated);
  }

 private:
  std::optional<Example> example_of(const Json& row, bool& truncated) const {
    if (row.contains("input_ids")) return encoded_example(row, truncated);
    if (row.contains("prompt") || row.contains("completion")) {
      const DatasetRow pair = completion_row(json_fields::text(row, "prompt"), json_fields::text(row, "completion"));
      require_tokenizer();
      if (options_.target && std::string_view(pair.prompt.front().text).empty()) refuse_missing_source();
      return prompts_->example(pair, pair.references.front(), truncated);
    }
    const TextPieces pieces = pieces_of(row, chat_);
    require_tokenizer();
    if (options_.target) refuse_missing_source();
    return pieces_example(pieces, truncated);
  }

  void require_tokenizer() const {
    if (tokenizer_ == nullptr)
      throw DataError("data", "row: expected input_ids and labels, since the model folder has no tokenizer, got text");
  }
  [[noreturn]] static void refuse_missing_source() {
    throw DataError("data", "row: expected a prompt beside the completion for an encoder-decoder model, got none");
  }

  std::optional<Example> pieces_example(const TextPieces& text_pieces, bool& truncated) const {
    struct Part {
      std::vector<Index> ids;
      bool labelled;
    };
    std::vector<Part> parts;
    if (text_pieces.starts_with_bos && tokenizer_->adds_bos()) parts.push_back({{*tokenizer_->bos_id()}, false});
    const std::size_t fixed = parts.size();
    for (const auto& piece : text_pieces.pieces) parts.push_back({tokenizer_->encode(piece.text), piece.labelled});
    if (text_pieces.ends_with_eos && tokenizer_->eos_id()) parts.push_back({{*tokenizer_->eos_id()}, true});

    Extent excess = -options_.max_tokens;
    for (const Part& part : parts) excess += static_cast<Extent>(part.ids.size());
    const bool has_prompt = std::any_of(parts.begin() + static_cast<std::ptrdiff_t>(fixed), parts.end(),
                                        [](const Part& p) { return !p.labelled; });
    if (excess > 0) {
      truncated = true;
      const auto cut = [&](Part& part) {
        const auto removed = std::min<Extent>(excess, static_cast<Extent>(part.ids.size()));
        part.ids.resize(part.ids.size() - static_cast<std::size_t>(removed));
        excess -= removed;
      };
      for (std::size_t p = parts.size(); p-- > fixed && excess > 0;) {
        if (has_prompt ? !parts[p].labelled : true) cut(parts[p]);
      }
      if (excess > 0) return std::nullopt;  // what is labelled does not fit
    }
    Example example;
    for (const Part& part : parts) {
      example.input_ids.insert(example.input_ids.end(), part.ids.begin(), part.ids.end());
      if (part.labelled)
        example.labels.insert(example.labels.end(), part.ids.begin(), part.ids.end());
      else
        example.labels.insert(example.labels.end(), part.ids.size(), ignore_label);
    }
    if (example.input_ids.empty()) return std::nullopt;
    return example;
  }

  std::optional<Example> encoded_example(const Json& row, bool& truncated) const {
    Example example{ids_of(row, "input_ids"), ids_of(row, "labels"), {}};
    if (options_.target) {
      return source_and_target::example(std::move(example.input_ids), example.labels, options_.max_tokens,
                                        *options_.target, truncated);
    }
    if (example.input_ids.size() != example.labels.size()) {
      throw DataError(
          "data", text("labels: expected ", example.input_ids.size(), " as in input_ids, got ", example.labels.size()));
    }
    if (example.input_ids.empty()) return std::nullopt;
    for (const Index label : example.labels) {
      if (label != ignore_label) check_ids({label}, options_.vocabulary);
    }
    const auto longest = static_cast<std::size_t>(options_.max_tokens);
    if (example.input_ids.size() > longest) {
      truncated = true;
      example.input_ids.resize(longest);
      example.labels.resize(longest);
    }
    return example;
  }

  static std::vector<Index> ids_of(const Json& row, const char* key) {
    const auto found = row.find(key);
    if (found == row.end() || !found->is_array())
      throw DataError("data", text("field \"", key, "\": expected a list of integers, got something else"));
    std::vector<Index> ids;
    for (const Json& item : *found) {
      const bool fits = item.is_number_integer() && item.get<std::int64_t>() >= ignore_label &&
                        item.get<std::int64_t>() <= INT32_MAX &&
                        !(item.is_number_unsigned() && item.get<std::uint64_t>() > INT32_MAX);
      if (!fits)
        throw DataError("data",
                        text("field \"", key, "\": expected token ids, got ", item.dump(-1, ' ', true).substr(0, 40)));
      ids.push_back(item.get<Index>());
    }
    return ids;
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
  std::optional<ChatMl> chat_;
};

}  // namespace greentrainer
