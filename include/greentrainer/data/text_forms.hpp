#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/data/chat_template.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// A row as pieces of text, each with or without loss. Pieces are tokenised apart and joined.
struct TextPieces {
  struct Piece {
    std::string text;
    bool labelled = false;
  };
  /// What an encoder-decoder reads and says, where that is another text.
  struct Pair {
    std::string source, target;
  };
  std::vector<Piece> pieces;
  bool ends_with_eos = true;    ///< whether EOS closes the row, with loss
  bool starts_with_bos = true;  ///< whether BOS may open it
  std::optional<Pair> pair = {};
};

namespace text_forms {

/// The text of a field. Throws DataError saying what is there instead.
inline const std::string& text_field(const Json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end()) throw DataError("data", text("field \"", key, "\": expected a text, got nothing"));
  if (!found->is_string()) throw DataError("data", text("field \"", key, "\": expected a text, got ", found->type_name()));
  return found->get_ref<const std::string&>();
}

/// A list of texts.
inline std::vector<std::string> text_list(const Json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_array() || found->empty())
    throw DataError("data", text("field \"", key, "\": expected a list of texts, got something else"));
  std::vector<std::string> list;
  for (const Json& item : *found) {
    if (!item.is_string()) throw DataError("data", text("field \"", key, "\": expected texts in the list, got ", item.type_name()));
    list.push_back(item.get<std::string>());
  }
  return list;
}

inline TextPieces prompt_and_completion(const Json& row) { return {{{text_field(row, "prompt"), false}, {text_field(row, "completion"), true}}}; }

inline TextPieces plain_text(const Json& row) { return {{{text_field(row, "text"), true}}}; }

/// ChatML, with loss on what the assistant says, its <|im_end|> included. Everything between is one piece, so that it is tokenised as in
/// transformers' apply_chat_template; what the assistant says begins a piece of its own, as when it is generated.
inline TextPieces chatml(const Json& row, const ChatMl& chat) {
  const auto messages = row.find("messages");
  if (messages == row.end() || !messages->is_array() || messages->empty())
    throw DataError("data", "field \"messages\": expected a list of messages, got something else");
  TextPieces pieces;
  pieces.ends_with_eos = false;
  pieces.starts_with_bos = false;
  std::string between;
  for (const Json& message : *messages) {
    if (!message.is_object()) throw DataError("data", text("field \"messages\": expected objects with role and content, got ", message.type_name()));
    const std::string& role = text_field(message, "role");
    if (role != "system" && role != "user" && role != "assistant") {
      throw DataError("data", text("field \"role\": expected system, user or assistant, got ", role.substr(0, 40)));
    }
    if (&message == &messages->front() && role != "system" && chat.default_system) {
      between += "<|im_start|>system\n" + *chat.default_system + "<|im_end|>\n";
    }
    between += "<|im_start|>" + role + "\n";
    const std::string said = text_field(message, "content") + "<|im_end|>";
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

/// The paper's prompts for summaries: `{source} TL;DR: {summary}`, and for encoder-decoders `summarize: {source}`.
inline TextPieces summary(const std::string& source, const std::string& target) {
  return {.pieces = {{source + " TL;DR:", false}, {" " + target, true}}, .pair = TextPieces::Pair{"summarize: " + source, target}};
}

inline TextPieces scitldr(const Json& row) {
  std::string source;
  for (const std::string& sentence : text_list(row, "source")) source += (source.empty() ? "" : " ") + sentence;
  return summary(source, text_list(row, "target").front());
}

inline TextPieces dialogsum(const Json& row) { return summary(text_field(row, "dialogue"), text_field(row, "summary")); }

}  // namespace text_forms

/// A data set's own form, by name.
struct DatasetForm {
  std::string_view name;
  TextPieces (*read)(const Json& row);
};

/// One line a form.
inline constexpr std::array dataset_forms = {
    DatasetForm{"scitldr", text_forms::scitldr},
    DatasetForm{"dialogsum", text_forms::dialogsum},
};

/// Throws UsageError for an unknown name.
inline const DatasetForm& dataset_form(std::string_view name) {
  std::string known;
  for (const DatasetForm& form : dataset_forms) {
    if (form.name == name) return form;
    known += text(known.empty() ? "" : ", ", form.name);
  }
  throw UsageError("dataset", text("--dataset: expected one of ", known, ", got ", name));
}

/// The pieces of a row by the fields it has; `chat`: the model's chat format, if it is a known one. Throws DataError if it has none of the known
/// fields.
inline TextPieces pieces_of(const Json& row, const std::optional<ChatMl>& chat) {
  if (row.contains("prompt") || row.contains("completion")) return text_forms::prompt_and_completion(row);
  if (row.contains("messages")) {
    if (!chat)
      throw DataError("data",
                      "messages: expected a model with the ChatML template (<|im_start|>), got another or none; give prompt and completion instead");
    return text_forms::chatml(row, *chat);
  }
  if (row.contains("text")) return text_forms::plain_text(row);
  throw DataError(
      "data",
      "row: expected prompt and completion, text, messages, or input_ids and labels, got none of them; is it a data set's own form (--dataset)?");
}

}  // namespace greentrainer
