#pragma once

#include <cstddef>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/templates/parser.hpp"
#include "greentrainer/templates/renderer.hpp"
#include "greentrainer/tokenizers/traced_text.hpp"

namespace greentrainer {

/// What a chat template is rendered with.
struct ChatInput {
  OrderedJson messages = OrderedJson::array();  ///< objects, as transformers takes them
  OrderedJson tools = nullptr;                  ///< JSON schemas, or null
  OrderedJson documents = nullptr;              ///< objects, or null
  bool add_generation_prompt = false;           ///< whether the header of an answer follows
  /// More names, such as bos_token, or what a data set gives as chat_template_kwargs.
  std::vector<std::pair<std::string, OrderedJson>> variables = {};
  std::time_t now = std::time(nullptr);  ///< for strftime_now
};

/// A conversation as text, and the bytes of it that `generation` blocks wrote.
struct RenderedChat {
  std::string text;
  std::vector<ByteRange> generated;
};

/// A chat template of a model folder: Jinja, rendered as transformers 5.24's apply_chat_template does. Templates are
/// untrusted: they see what they are given and nothing else, and have limits on steps, text and recursion (Context).
class ChatTemplate {
 public:
  /// `source`: where it is from, for errors. Throws LoadError naming line and construct for what cannot be rendered.
  ChatTemplate(std::string source, std::string_view jinja) : source_(std::move(source)) {
    if (const auto bad = find_invalid_utf8(jinja); bad != std::string_view::npos)
      throw LoadError("chat_template", source_, text("expected UTF-8, got something else at byte ", bad));
    parsed_ = std::make_shared<templates::ParsedTemplate>(templates::Parser(source_, jinja).parse());
  }

  const std::string& source() const { return source_; }

  /// Whether it says itself what the assistant writes ({% generation %}).
  bool has_generation() const { return parsed_->has_generation; }

  /// Whether the template names a field: others change nothing.
  bool names(std::string_view field) const { return parsed_->words.contains(field); }

  /// Throws DataError naming the template's line, for a conversation that the template refuses, or that it does with
  /// what Python or we cannot, or more of it than the limits allow.
  RenderedChat render(const ChatInput& input) const {
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

 private:
  static void require_objects(const OrderedJson& list, const char* name) {
    const std::string field = text("field \"", name, '"');
    if (!list.is_array()) throw DataError("data", field, text("expected a list of objects, got ", list.type_name()));
    for (const OrderedJson& item : list) {
      if (!item.is_object())
        throw DataError("data", field, text("expected a list of objects, got ", item.type_name(), " in it"));
    }
  }

  static std::size_t size_of(const ChatInput& input) {
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

  /// A message as transformers hands it over: without what is null, and with its reasoning by the names that templates
  /// read.
  static OrderedJson prepared(const OrderedJson& message) {
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

  std::string source_;
  std::shared_ptr<const templates::ParsedTemplate> parsed_;
};

}  // namespace greentrainer
