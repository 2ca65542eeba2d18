#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/data/ignored_keys.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// What a row of JSON lines gives.
enum class RowForm { ids, completion, conversation, text };

/// By the keys that it has. Throws DataError for a row that gives nothing, or two things of which one would be passed
/// over.
inline RowForm form_of(const OrderedJson& row) {
  const auto has = [&](const char* key) {
    const auto found = row.find(key);
    return found != row.end() && !found->is_null();
  };
  std::vector<RowForm> forms;
  std::string names;
  const auto note = [&](bool is_there, RowForm form, const char* name) {
    if (!is_there) return;
    names += text(forms.empty() ? "" : " beside ", name);
    forms.push_back(form);
  };
  note(has("input_ids"), RowForm::ids, "input_ids");
  note(has("prompt") || has("completion"), RowForm::completion, "prompt and completion");
  note(has("messages"), RowForm::conversation, "messages");
  note(has("text"), RowForm::text, "text");
  if (forms.empty()) {
    throw DataError("data", "row",
                    "expected prompt and completion, text, messages, or input_ids and labels, got none of them; is it "
                    "a data set's own form (dataset)?");
  }
  if (forms.size() > 1)
    throw DataError("data", "row", text("expected one thing to train on, got ", names, "; remove all but one"));
  return forms.front();
}

namespace row_keys {

enum class Place { row, answer, other_message };

/// Keys that say what is trained, or what the model reads: a row that has them would be trained as something else.
inline constexpr std::array decisive_keys = {
    "labels",
    "attention_mask",
    "position_ids",
    "decoder_input_ids",
    "decoder_attention_mask",
    "inputs_embeds",
    "loss_mask",
    "completion_mask",
    "assistant_masks",
    "assistant_mask",
    "label_mask",
    "tools",
    "tool_calls",
    "tool_call_id",
    "functions",
    "function_call",
    "documents",
    "chat_template",
    "chat_template_kwargs",
    "images",
    "image",
    "pixel_values",
    "videos",
    "video",
    "audios",
    "audio",
    "system",
};

/// Keys that say whether, or how much, a row or message is trained.
inline constexpr std::array weight_keys = {"weight", "weights", "sample_weight", "loss_weight", "loss", "train"};

/// Whether a value of a decisive key says nothing.
inline bool is_absent(const OrderedJson& value) {
  if (value.is_null() || value == OrderedJson(false)) return true;
  return value.is_string() ? value.get_ref<const std::string&>().empty() : value.is_structured() && value.empty();
}

/// Whether a weight says what is done without it: rows and answers count once, other messages not at all.
inline bool is_usual_weight(const OrderedJson& value, Place place) {
  if (value.is_null()) return true;
  const bool counts = place != Place::other_message;
  return value.is_boolean() ? value == OrderedJson(counts)
                            : value.is_number() && value.get<double>() == (counts ? 1.0 : 0.0);
}

/// Looks at the keys of a row or message that nothing reads (`reads(key)` says so): counts them, as `prefix` and key.
/// Throws DataError for one that would change what is trained.
template <class Reads>
void account_for(const OrderedJson& object, const Reads& reads, Place place, IgnoredKeys& ignored) {
  const char* prefix = place == Place::row ? "" : "messages.";
  for (const auto& [key, value] : object.items()) {
    if (value.is_null() || reads(key)) continue;
    const auto is_in = [&name = key](const auto& keys) {
      return std::find(keys.begin(), keys.end(), name) != keys.end();
    };
    const bool decisive = is_in(decisive_keys), weight = is_in(weight_keys);
    if ((decisive && is_absent(value)) || (weight && is_usual_weight(value, place))) continue;
    if (decisive || weight) {
      throw DataError("data", text("field \"", prefix, key, "\""),
                      text("expected none, since it changes what is trained and is ", "not supported, got ",
                           value.dump(-1, ' ', true).substr(0, 40), "; remove it, or give input_ids and labels"));
    }
    ++ignored[prefix + key];
  }
}

/// The same with a list of the keys that are read.
inline void account_for(const OrderedJson& object, std::initializer_list<std::string_view> read, Place place,
                        IgnoredKeys& ignored) {
  account_for(
      object, [&](std::string_view key) { return std::find(read.begin(), read.end(), key) != read.end(); }, place,
      ignored);
}

/// Looks at all keys of a row of any form but a conversation. Throws DataError as account_for.
inline void account_for_row(const OrderedJson& row, RowForm form, bool encoder_decoder, IgnoredKeys& ignored) {
  if (form == RowForm::completion) return account_for(row, {"prompt", "completion"}, Place::row, ignored);
  if (form == RowForm::text) return account_for(row, {"text"}, Place::row, ignored);
  if (encoder_decoder) {
    return account_for(
        row, {"input_ids", "labels", "attention_mask", "position_ids", "decoder_input_ids", "decoder_attention_mask"},
        Place::row, ignored);
  }
  account_for(row, {"input_ids", "labels", "attention_mask", "position_ids"}, Place::row, ignored);
}

/// Looks at all keys of a conversation and its messages. `reads(key)`: whether the chat template does. Reasoning has
/// several names, and templates read it by one of them. Throws DataError as account_for.
template <class Reads>
void account_for_conversation(const OrderedJson& row, const Reads& reads, IgnoredKeys& ignored) {
  const auto of_row = [&](std::string_view key) {
    return key == "messages" || key == "chat_template_kwargs" || ((key == "tools" || key == "documents") && reads(key));
  };
  const bool reasons = reads("reasoning_content") || reads("thinking");
  const auto of_message = [&](std::string_view key) {
    const bool reasoning = key == "reasoning_content" || key == "thinking" || key == "reasoning";
    const bool weight = std::find(weight_keys.begin(), weight_keys.end(), key) != weight_keys.end();
    return key == "role" || key == "content" || (reasoning ? reasons : !weight && reads(key));
  };
  account_for(row, of_row, Place::row, ignored);
  for (const OrderedJson& message : row.at("messages")) {
    if (!message.is_object()) continue;  // an error of its own
    const bool answer = message.value("role", OrderedJson()) == OrderedJson("assistant");
    account_for(message, of_message, answer ? Place::answer : Place::other_message, ignored);
  }
}

}  // namespace row_keys

}  // namespace greentrainer
