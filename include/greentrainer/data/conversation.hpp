#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// A conversation as a row gives it: what its chat template is rendered with.
struct Conversation {
  OrderedJson messages = OrderedJson::array();
  OrderedJson tools = nullptr;
  OrderedJson documents = nullptr;
  std::vector<std::pair<std::string, OrderedJson>> variables = {};  ///< chat_template_kwargs

  std::string_view role(std::size_t message) const {
    return messages[message].at("role").get_ref<const std::string&>();
  }
  bool is_answer(std::size_t message) const { return role(message) == "assistant"; }

  /// The messages [begin, end) behind those in front of `fixed`; all else as it is.
  Conversation part(std::size_t fixed, std::size_t begin, std::size_t end) const {
    Conversation result{.tools = tools, .documents = documents, .variables = variables};
    for (std::size_t i = 0; i < end; ++i) {
      if (i < fixed || i >= begin) result.messages.push_back(messages[i]);
    }
    return result;
  }
  Conversation start(std::size_t end) const { return part(0, 0, end); }

  /// Where exchanges begin: a question, or several, with the answer, the calls of tools and what they gave. The first
  /// begins behind what the system says in front.
  std::vector<std::size_t> exchanges() const {
    const auto is_system = [&](std::size_t i) { return role(i) == "system" || role(i) == "developer"; };
    const auto replies = [&](std::size_t i) {
      return is_answer(i) || role(i) == "tool" || role(i) == "ipython" || role(i) == "function";
    };
    std::vector<std::size_t> begins;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (begins.empty() ? !is_system(i) : !replies(i) && replies(i - 1)) begins.push_back(i);
    }
    return begins;
  }
};

/// The conversation of a row: `messages`, and `tools`, `documents` and `chat_template_kwargs` where they are given.
/// Throws DataError for fields of another form.
inline Conversation conversation_of(const OrderedJson& row) {
  Conversation result{.messages = row.at("messages")};
  if (!result.messages.is_array() || result.messages.empty())
    throw DataError("data", "field \"messages\"", "expected a list of messages, got something else");
  for (const OrderedJson& message : result.messages) {
    if (!message.is_object())
      throw DataError("data", "field \"messages\"",
                      text("expected objects with role and content, got ", message.type_name()));
    json_fields::text(message, "role");
  }
  const auto given = [&](const char* key) -> const OrderedJson* {
    const auto found = row.find(key);
    return found == row.end() || found->is_null() ? nullptr : &*found;
  };
  for (const auto& [key, list] : {std::pair{"tools", &result.tools}, std::pair{"documents", &result.documents}}) {
    const OrderedJson* value = given(key);
    if (value == nullptr || (value->is_array() && value->empty())) continue;
    json_fields::objects(row, key);
    *list = *value;
  }
  if (const OrderedJson* variables = given("chat_template_kwargs")) {
    if (!variables->is_object()) json_fields::refuse("chat_template_kwargs", "an object", variables->type_name());
    for (const auto& [key, value] : variables->items()) result.variables.emplace_back(key, value);
  }
  return result;
}

}  // namespace greentrainer
