#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/data/chat_encoder.hpp"
#include "greentrainer/data/conversation.hpp"
#include "greentrainer/data/dataset_forms.hpp"
#include "greentrainer/data/line_row.hpp"
#include "greentrainer/data/load_prompts.hpp"
#include "greentrainer/data/row_encoder.hpp"
#include "greentrainer/data/row_keys.hpp"
#include "greentrainer/data/text_lines.hpp"

namespace greentrainer {

/// A row of JSON lines as what a model is asked: `prompt` and, if it is known, `completion`, or `messages`. `chats`:
/// made where a row needs it. Throws DataError saying what is wrong with the row.
inline DatasetRow prompt_row(const OrderedJson& row, const Tokenizer& tokenizer, bool encoder_decoder,
                             std::optional<ChatEncoder>& chats) {
  DatasetRow result;
  IgnoredKeys ignored;
  if (row.is_object() && row.contains("messages") && !row.at("messages").is_null()) {
    form_of(row);  // refuses one that gives something else as well
    if (encoder_decoder) throw DataError("data", "messages", "expected a prompt for an encoder-decoder model");
    if (!chats) chats.emplace(tokenizer);
    const Conversation conversation = conversation_of(row);
    const auto reads = [&](std::string_view key) { return chats->reads(conversation, key); };
    row_keys::account_for_conversation(row, reads, ignored);
    result = chats->prompt(conversation);
  } else {
    result = completion_row(json_fields::text(row, "prompt"), "");
    form_of(row);  // refuses one that gives something else as well
    if (row.contains("completion"))
      result.references = {json_fields::text(row, "completion")};
    else
      result.references.clear();
    row_keys::account_for(row, {"prompt", "completion"}, row_keys::Place::row, ignored);
  }
  for (const auto& [key, count] : ignored) result.unread.push_back(key);
  return result;
}

GREENTRAINER_INLINE Prompts load_prompts(const std::filesystem::path& path, const Tokenizer& tokenizer,
                                         const DataOptions& options, Extent new_tokens) {
  const PromptEncoder encoder(tokenizer, options.max_tokens, options.truncation, options.target);
  std::optional<ChatEncoder> chats;
  Prompts prompts;
  const auto add = [&](DatasetRow row, Extent line) {
    PromptEncoder::Prompt prompt = encoder.prompt(row, new_tokens);
    if (prompt.ids.empty()) throw DataError("data", "prompt", "expected at least one token, got none");
    check_ids(prompt.ids, options.vocabulary > 0 ? options.vocabulary : tokenizer.vocab_size());
    if (prompt.truncated && prompts.rows_truncated++ == 0) prompts.first_truncated_line = line;
    for (const std::string& key : row.unread) ++prompts.ignored_keys[key];
    prompts.ids.push_back(std::move(prompt.ids));
    prompts.references.push_back(std::move(row.references));
    prompts.lines.push_back(line);
  };
  if (!options.dataset.empty()) {
    for (DatasetRow& row : read_dataset(path, options.dataset, options.rows))
      with_line("load_prompts", path, row.line, [&] { add(std::move(row), row.line); });
  } else {
    for_each_line("load_prompts", path, read_data_file(path), options.rows, [&](std::string_view line, Extent number) {
      add(prompt_row(line_row(path, line, "prompt"), tokenizer, options.target.has_value(), chats), number);
    });
  }
  if (prompts.ids.empty()) throw_no_row("load_prompts", path, options.rows);
  return prompts;
}

}  // namespace greentrainer
