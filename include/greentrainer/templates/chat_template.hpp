#pragma once

#include <cstddef>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/traced_text.hpp"

namespace greentrainer {

namespace templates {
struct ParsedTemplate;
}

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
  ChatTemplate(std::string source, std::string_view jinja);

  const std::string& source() const { return source_; }

  /// Whether it says itself what the assistant writes ({% generation %}).
  bool has_generation() const;

  /// Whether the template names a field: others change nothing.
  bool names(std::string_view field) const;

  /// Throws DataError naming the template's line, for a conversation that the template refuses, or that it does with
  /// what Python or we cannot, or more of it than the limits allow.
  RenderedChat render(const ChatInput& input) const;

 private:
  static void require_objects(const OrderedJson& list, const char* name);

  static std::size_t size_of(const ChatInput& input);

  /// A message as transformers hands it over: without what is null, and with its reasoning by the names that templates
  /// read.
  static OrderedJson prepared(const OrderedJson& message);

  std::string source_;
  std::shared_ptr<const templates::ParsedTemplate> parsed_;
};

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/templates/chat_template_inl.hpp"
#endif
