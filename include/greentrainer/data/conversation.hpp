#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/data/chat_template.hpp"
#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/data/text_stretches.hpp"
#include "greentrainer/data/truncation.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// What stands behind every turn of ChatML.
inline constexpr const char* chatml_end_of_turn = "<|im_end|>";

/// The ChatML of a model's conversations. Throws DataError for a model with another chat template, or none.
inline ChatMl chatml_of(const Tokenizer& tokenizer) {
  std::optional<ChatMl> chat;
  if (tokenizer.id("<|im_start|>"))
    chat = tokenizer.chat_template().empty() ? ChatMl{} : parse_chatml(tokenizer.chat_template());
  if (chat) return *chat;
  throw DataError("data", "messages",
                  "expected a model with the ChatML template (<|im_start|>), got another or none; give prompt and "
                  "completion instead");
}

/// A conversation as text, and the turns that it is made of. Two stretches a turn: its header, and what is said with
/// the end of the turn, which carries loss where the assistant says it. The line break behind a turn begins the next
/// one's header; the last stretch is the one behind the last turn.
struct Conversation {
  struct Turn {
    std::size_t exchange = 0;  ///< 0: system messages in front; then a question, its answer and what belongs to them
    bool answer = false;       ///< the assistant's
  };
  std::vector<TextStretch> stretches;
  std::vector<Turn> turns;
};

/// The messages of a row in ChatML. Throws DataError for messages that are none, and for roles that are not known.
inline Conversation chatml_conversation(const Json& messages, const ChatMl& chat) {
  if (!messages.is_array() || messages.empty())
    throw DataError("data", "field \"messages\"", "expected a list of messages, got something else");
  Conversation result;
  std::size_t exchange = 0;
  std::string break_before;
  const auto add = [&](const std::string& role, const std::string& content) {
    const bool answer = role == "assistant";
    const bool opens = exchange == 0 ? role != "system" : !answer && result.turns.back().answer;
    if (opens) ++exchange;
    result.turns.push_back({exchange, answer});
    result.stretches.push_back({break_before + "<|im_start|>" + role + "\n", false});
    result.stretches.push_back({content + chatml_end_of_turn, answer});
    break_before = "\n";
  };
  for (const Json& message : messages) {
    if (!message.is_object())
      throw DataError("data", "field \"messages\"",
                      text("expected objects with role and content, got ", message.type_name()));
    const std::string& role = json_fields::text(message, "role");
    if (role != "system" && role != "user" && role != "assistant") {
      throw DataError("data", "field \"role\"", text("expected system, user or assistant, got ", role.substr(0, 40)));
    }
    if (&message == &messages.front() && role != "system" && chat.default_system) add("system", *chat.default_system);
    add(role, json_fields::text(message, "content"));
  }
  result.stretches.push_back({break_before, false});
  return result;
}

/// A conversation as a prompt for its last answer, or, where somebody else has the last word, for the answer to that.
/// Where it is too long, exchanges go from the front; what the system says in front, and the last question, never.
inline DatasetRow conversation_prompt(const Conversation& conversation) {
  using Part = DatasetRow::Part;
  const auto& turns = conversation.turns;
  const bool answered = turns.back().answer;
  DatasetRow row;
  row.is_rendered = true;
  if (answered) {
    std::string answer = conversation.stretches[2 * turns.size() - 1].text;
    answer.resize(answer.size() - std::string_view(chatml_end_of_turn).size());
    row.references = {std::move(answer)};
  }
  std::string text;  // of the exchange that is put together
  const auto finish = [&](std::size_t exchange) {
    const bool stays = exchange == 0 || exchange == turns.back().exchange;
    row.prompt.push_back({.text = std::exchange(text, ""), .cut = stays ? Part::Cut::never : Part::Cut::whole});
  };
  for (std::size_t turn = 0; turn < turns.size(); ++turn) {
    std::string_view header = conversation.stretches[2 * turn].text;
    if (turn > 0) {  // the line break in front of a header goes with the turn before
      text += header.front();
      header.remove_prefix(1);
      if (turns[turn - 1].exchange != turns[turn].exchange) finish(turns[turn - 1].exchange);
    }
    text += header;
    if (turn + 1 < turns.size() || !answered) text += conversation.stretches[2 * turn + 1].text;
  }
  if (!answered) text += conversation.stretches.back().text + "<|im_start|>assistant\n";
  finish(turns.back().exchange);
  return row;
}

/// A conversation as an example, cut to `max_tokens`. By turns: what stands behind the last answer goes first, since
/// nothing learns from it, then exchanges from the front, never a header whose answer stays; nothing where the last one
/// does not fit. `turns_dropped`: turns that went whole.
inline std::optional<Example> conversation_example(const Tokenizer& tokenizer, const Conversation& conversation,
                                                   Extent max_tokens, Truncation truncation, bool& truncated,
                                                   Extent& turns_dropped) {
  std::vector<std::vector<Index>> ids = tokenize_stretches(tokenizer, conversation.stretches);
  Extent excess = -max_tokens;
  for (const std::vector<Index>& stretch : ids) excess += static_cast<Extent>(stretch.size());
  truncated = excess > 0;
  const auto drop = [&](std::size_t stretch) {
    excess -= static_cast<Extent>(ids[stretch].size());
    ids[stretch].clear();
  };
  const auto& turns = conversation.turns;
  const auto drop_turn = [&](std::size_t turn) {
    drop(2 * turn);
    drop(2 * turn + 1);
    ++turns_dropped;
  };
  if (truncated && truncation == Truncation::turns) {
    std::size_t end = turns.size();
    drop(2 * end);
    while (end > 0 && !turns[end - 1].answer) drop_turn(--end);
    if (end == 0) return std::nullopt;
    for (std::size_t turn = 0; turn < end && excess > 0; ++turn) {
      const std::size_t exchange = turns[turn].exchange;
      if (exchange == 0) continue;
      if (exchange == turns[end - 1].exchange) return std::nullopt;
      for (; turns[turn].exchange == exchange; ++turn) drop_turn(turn);
      --turn;
    }
    if (excess > 0) return std::nullopt;
  }
  Example example;
  for (std::size_t s = 0; s < ids.size(); ++s) {
    const std::vector<Index> nothing(ids[s].size(), ignore_label);
    const std::vector<Index>& labels = conversation.stretches[s].labelled ? ids[s] : nothing;
    example.input_ids.insert(example.input_ids.end(), ids[s].begin(), ids[s].end());
    example.labels.insert(example.labels.end(), labels.begin(), labels.end());
  }
  cut_end(example, max_tokens, truncation, "messages");
  if (example.input_ids.empty()) return std::nullopt;
  return example;
}

}  // namespace greentrainer
