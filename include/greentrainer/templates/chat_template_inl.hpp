#pragma once

#include <algorithm>
#include <utility>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/utf8.hpp"
#include "greentrainer/templates/chat_template.hpp"
#include "greentrainer/templates/parser.hpp"
#include "greentrainer/templates/renderer.hpp"

namespace greentrainer {

GREENTRAINER_INLINE ChatTemplate::ChatTemplate(std::string source, std::string_view jinja)
    : source_(std::move(source)) {
  if (const auto bad = find_invalid_utf8(jinja); bad != std::string_view::npos)
    throw LoadError("chat_template", source_, text("expected UTF-8, got something else at byte ", bad));
  parsed_ = std::make_shared<templates::ParsedTemplate>(templates::Parser(source_, jinja).parse());
}

GREENTRAINER_INLINE bool ChatTemplate::has_generation() const { return parsed_->has_generation; }

GREENTRAINER_INLINE bool ChatTemplate::names(std::string_view field) const { return parsed_->words.contains(field); }

GREENTRAINER_INLINE RenderedChat ChatTemplate::render(const ChatInput& input) const {
  using templates::Value;
  require_objects(input.messages, "messages");
  templates::Context context(source_, size_of(input), input.now);
  templates::Renderer renderer(context);
  for (const auto& [name, value] : input.variables) renderer.set(name, from_json(context, value));
  OrderedJson messages = OrderedJson::array();
  for (const OrderedJson& message : input.messages) messages.push_back(prepared(message));
  renderer.set("messages", from_json(context, messages));
  for (const auto& [name, list] : {std::pair{"tools", &input.tools}, std::pair{"documents", &input.documents}}) {
    if (!list->is_null()) require_objects(*list, name);
    renderer.set(name, from_json(context, *list));
  }
  renderer.set("add_generation_prompt", Value(input.add_generation_prompt));
  RenderedChat result;
  result.text = renderer.render(parsed_->statements);
  for (const auto& said : renderer.generated()) {
    const std::string_view rest = std::string_view(result.text).substr(std::min(said.begin, result.text.size()));
    result.generated.push_back({said.begin, said.begin + templates::python::byte_of(rest, said.characters)});
  }
  return result;
}

GREENTRAINER_INLINE void ChatTemplate::require_objects(const OrderedJson& list, const char* name) {
  const std::string field = text("field \"", name, '"');
  if (!list.is_array()) throw DataError("data", field, text("expected a list of objects, got ", list.type_name()));
  for (const OrderedJson& item : list) {
    if (!item.is_object())
      throw DataError("data", field, text("expected a list of objects, got ", item.type_name(), " in it"));
  }
}

GREENTRAINER_INLINE std::size_t ChatTemplate::size_of(const ChatInput& input) {
  std::size_t size = 0;
  const auto count = [&](const auto& self, const OrderedJson& json) -> void {
    size += 16;
    if (json.is_string()) size += json.get_ref<const std::string&>().size();
    if (json.is_structured()) {
      for (const OrderedJson& item : json) self(self, item);
    }
  };
  for (const OrderedJson* json : {&input.messages, &input.tools, &input.documents}) count(count, *json);
  return size;
}

GREENTRAINER_INLINE OrderedJson ChatTemplate::prepared(const OrderedJson& message) {
  OrderedJson reasoning;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    if (reasoning.is_null() && message.contains(name)) reasoning = message[name];
  }
  OrderedJson result = OrderedJson::object();
  if (!reasoning.is_null()) result["thinking"] = reasoning;
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) result[key] = value;
  }
  if (!reasoning.is_null()) result["reasoning_content"] = reasoning;
  return result;
}

}  // namespace greentrainer
