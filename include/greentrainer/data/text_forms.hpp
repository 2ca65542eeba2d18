#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/data/chat_template.hpp"
#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// A row as pieces of text, each with or without loss. Pieces are tokenised apart and joined.
struct TextPieces {
  struct Piece {
    std::string text;
    bool labelled = false;
  };
  std::vector<Piece> pieces;
  bool ends_with_eos = true;    ///< whether EOS closes the row, with loss
  bool starts_with_bos = true;  ///< whether BOS may open it
};

namespace text_forms {

/// A text that carries loss throughout.
inline TextPieces plain_text(const Json& row) { return {{{json_fields::text(row, "text"), true}}}; }

/// ChatML, with loss on what the assistant says, its <|im_end|> included. Everything between is one piece, so that it
/// is tokenised as in transformers' apply_chat_template; what the assistant says begins a piece of its own, as when it
/// is generated.
inline TextPieces chatml(const Json& row, const ChatMl& chat) {
  const auto messages = row.find("messages");
  if (messages == row.end() || !messages->is_array() || messages->empty())
    throw DataError("data", "field \"messages\": expected a list of messages, got something else");
  TextPieces pieces;
  pieces.ends_with_eos = false;
  pieces.starts_with_bos = false;
  std::string between;
  for (const Json& message : *messages) {
    if (!message.is_object())
      throw DataError("data",
                      text("field \"messages\": expected objects with role and content, got ", message.type_name()));
    const std::string& role = json_fields::text(message, "role");
    if (role != "system" && role != "user" && role != "assistant") {
      throw DataError("data", text("field \"role\": expected system, user or assistant, got ", role.substr(0, 40)));
    }
    if (&message == &messages->front() && role != "system" && chat.default_system) {
      between += "<|im_start|>system\n" + *chat.default_system + "<|im_end|>\n";
    }
    between += "<|im_start|>" + role + "\n";
    const std::string said = json_fields::text(message, "content") + "<|im_end|>";
    if (role == "assistant") {
      pieces.pieces.push_back({std::move(between), false});
      pieces.pieces.push_back({said, true});
      between = "\n";
    } else {
      between += said + "\n";
    }
  }
  pieces.pieces.push_back({std::move(between), false});
  return pieces;
}

}  // namespace text_forms

/// The pieces of a row that is a text or a conversation, by the fields it has; `chat`: the model's chat format, if it
/// is a known one. Throws DataError if it has none of the known fields.
inline TextPieces pieces_of(const Json& row, const std::optional<ChatMl>& chat) {
  if (row.contains("messages")) {
    if (!chat)
      throw DataError("data",
                      "messages: expected a model with the ChatML template (<|im_start|>), got another or none; give "
                      "prompt and completion instead");
    return text_forms::chatml(row, *chat);
  }
  if (row.contains("text")) return text_forms::plain_text(row);
  throw DataError("data",
                  "row: expected prompt and completion, text, messages, or input_ids and labels, got none of them; is "
                  "it a data set's own form (--dataset)?");
}

}  // namespace greentrainer
