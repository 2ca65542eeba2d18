#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace greentrainer {

/// A chat format. ChatML: <|im_start|>role\ncontent<|im_end|>\n for every message.
struct ChatMl {
  std::optional<std::string> default_system =
      {};  ///< what the system says where a conversation does not begin with a system message
};

namespace detail {

/// A Jinja template with one spelling for what can be spelled in several ways: within tags no white space, single
/// quotes, line breaks as themselves, literals that are added up as one; between tags without what transformers'
/// trim_blocks and lstrip_blocks take away. Empty for templates with quotes within literals.
inline std::string canonical_template(std::string_view jinja) {
  std::string result;
  bool in_tag = false;
  char quote = 0;
  for (std::size_t i = 0; i < jinja.size(); ++i) {
    const char c = jinja[i];
    const std::string_view rest = jinja.substr(i);
    if (quote != 0) {
      if (c == quote) {
        result += '\'';
        quote = 0;
      } else if (c == '\'' || c == '"') {
        return "";
      } else if (rest.starts_with("\\n")) {
        result += '\n';
        ++i;
      } else {
        result += c;
      }
    } else if (in_tag) {
      if (rest.starts_with("%}") || rest.starts_with("}}")) {
        result += rest.substr(0, 2);
        in_tag = false;
        if (rest.starts_with("%}\n")) ++i;
        ++i;
      } else if (rest.starts_with("message.role") || rest.starts_with("message.content")) {
        const auto name = rest.substr(8, rest.starts_with("message.role") ? 4 : 7);
        result.append("message['").append(name).append("']");
        i += 7 + name.size();
      } else if (c == '"' || c == '\'') {
        result += '\'';
        quote = c;
      } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
        result += c;
      }
    } else if (rest.starts_with("{%") || rest.starts_with("{{")) {
      const std::size_t indent = result.find_last_not_of(" \t") + 1;  // npos + 1 is 0
      const std::string_view before = std::string_view(result).substr(0, indent);
      // Spaces before a block go where nothing else stands on its line.
      if (c == '{' && rest[1] == '%' && (before.empty() || before.ends_with('\n') || before.ends_with("%}")))
        result.resize(indent);
      result += rest.substr(0, 2);
      in_tag = true;
      ++i;
    } else {
      result += c;
    }
  }
  constexpr std::string_view between_literals = "'+'";
  std::string joined;
  std::string_view rest = result;
  for (auto at = rest.find(between_literals); at != std::string_view::npos; at = rest.find(between_literals)) {
    joined += rest.substr(0, at);
    rest.remove_prefix(at + between_literals.size());
  }
  return joined.append(rest);
}

inline bool consume(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace detail

/// The ChatML that a folder's chat template writes; nothing where it is any template but plain ChatML, or ChatML with a
/// default system message as SmolLM2's: what a template does beyond that cannot be seen without a Jinja interpreter.
inline std::optional<ChatMl> parse_chatml(std::string_view jinja) {
  using detail::consume;
  const std::string canonical = detail::canonical_template(jinja);
  std::string_view rest = canonical;
  consume(rest, "{%ifnotadd_generation_promptisdefined%}{%setadd_generation_prompt=false%}{%endif%}");
  if (!consume(rest, "{%formessageinmessages%}")) return std::nullopt;
  ChatMl result;
  if (consume(rest, "{%ifloop.firstandmessages[0]['role']!='system'%}{{'<|im_start|>system\n")) {
    const auto end = rest.find('\'');
    auto said = rest.substr(0, end);
    rest.remove_prefix(said.size());
    constexpr std::string_view end_mark = "<|im_end|>\n";
    if (!said.ends_with(end_mark) || said.find('\\') != std::string_view::npos || !consume(rest, "'}}{%endif%}"))
      return std::nullopt;
    said.remove_suffix(end_mark.size());
    result.default_system = said;
  }
  if (!consume(rest, "{{'<|im_start|>'+message['role']+'\n'+message['content']+'<|im_end|>\n'}}{%endfor%}"))
    return std::nullopt;
  consume(rest, "{%ifadd_generation_prompt%}{{'<|im_start|>assistant\n'}}{%endif%}");
  if (!rest.empty()) return std::nullopt;
  return result;
}

}  // namespace greentrainer
