#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/data/chat_template.hpp"
#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/data/text_stretches.hpp"
#include "greentrainer/data/truncation.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// What stands behind every turn of ChatML.
inline constexpr const char* chatml_end_of_turn = "<|im_end|>";

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
