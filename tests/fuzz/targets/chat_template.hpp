#pragma once

// reader: templates

#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/templates/chat_template.hpp"

namespace greentrainer::fuzz {

/// A chat template, rendered for a conversation of some turns with tools.
inline void chat_template(std::string_view input) {
  static const ChatInput conversation{
      .messages = parse_json<OrderedJson>(
          R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <there>\n"},)"
          R"({"role": "assistant", "content": "Hello.", "tool_calls": [{"type": "function", "function":)"
          R"({"name": "f", "arguments": {"x": [1, 2.5, null, true]}}}]}, {"role": "tool", "content": "3"},)"
          R"({"role": "user", "content": [{"type": "text", "text": "Bye"}]}])",
          "messages"),
      .tools = parse_json<OrderedJson>(
          R"([{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}])", "tools"),
      .add_generation_prompt = true,
      .variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}},
      .now = 1'700'000'000};
  ChatTemplate("chat_template.jinja", input).render(conversation);
}

}  // namespace greentrainer::fuzz
