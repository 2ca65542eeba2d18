#pragma once

#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/templates/python_text.hpp"

namespace greentrainer::templates {

struct Token {
  enum class Type { data, variable_begin, variable_end, block_begin, block_end, name, text, integer, real, sign, end };
  Type type;
  std::string value;
  std::size_t line = 1;
};

/// Throws LoadError: a template that cannot be read. `construct`: what stands there.
[[noreturn]] inline void refuse_template(std::string_view source, std::size_t line, std::string_view construct,
                                         std::string_view detail) {
  throw LoadError("chat_template", text(source, ", line ", line, construct.empty() ? "" : ", ", construct), detail);
}

/// Cuts a template into tokens as Jinja 3.1 does with transformers' options: trim_blocks (the line break behind a
/// block's tag goes), lstrip_blocks (so do the blanks in front of one that begins its line), and the line break at the
/// template's end goes.
class Lexer {
 public:
  /// `source`: the name of the file, for errors. Both must outlive the lexer.
  Lexer(std::string_view source, std::string_view jinja) : source_(source), text_(normalized(jinja)) {}

  /// Throws LoadError naming source and line.
  std::vector<Token> tokens() {
    while (at_ < text_.size()) {
      const std::size_t open = next_tag();
      if (open == std::string::npos) {
        add_data(text_.substr(at_));
        break;
      }
      tag(open);
    }
    add(Token::Type::end, "");
    return std::move(tokens_);
  }

 private:
  /// Line breaks as \n, without the one at the end.
  static std::string normalized(std::string_view jinja) {
    std::string result;
    result.reserve(jinja.size());
    for (std::size_t i = 0; i < jinja.size(); ++i) {
      if (jinja[i] == '\r') {
        result += '\n';
        if (i + 1 < jinja.size() && jinja[i + 1] == '\n') ++i;
      } else {
        result += jinja[i];
      }
    }
    if (result.ends_with('\n')) result.pop_back();
    return result;
  }

  std::size_t next_tag() const {
    for (std::size_t at = text_.find('{', at_); at != std::string::npos; at = text_.find('{', at + 1)) {
      if (at + 1 < text_.size() && (text_[at + 1] == '%' || text_[at + 1] == '{' || text_[at + 1] == '#')) return at;
    }
    return std::string::npos;
  }

  void tag(std::size_t open) {
    const char kind = text_[open + 1];
    char control = open + 2 < text_.size() ? text_[open + 2] : '\0';
    if (control != '-' && control != '+') control = '\0';
    add_data(before_tag(text_.substr(at_, open - at_), control, kind == '{'));
    advance(open + 2 + (control != '\0' ? 1 : 0));
    if (kind == '#') {
      comment();
    } else if (const auto raw = kind == '%' ? raw_begin() : std::nullopt) {
      advance(*raw);
      raw_text();
    } else {
      add(kind == '{' ? Token::Type::variable_begin : Token::Type::block_begin, "");
      inside(kind == '{');
    }
    begins_line_ = at_ > 0 && text_[at_ - 1] == '\n';
  }

  /// What stays of a text in front of a tag.
  std::string before_tag(std::string text, char control, bool variable) const {
    if (control == '-') return std::string(python::strip(text, {}, false, true));
    if (control == '+' || variable) return text;
    const std::size_t line = text.rfind('\n') + 1;  // npos + 1 is 0
    if ((line > 0 || begins_line_) && python::strip(std::string_view(text).substr(line), {}, true, false).empty())
      text.resize(line);
    return text;
  }

  void comment() {
    if (at_ == text_.size()) return;  // at the template's end, Jinja misses no end of it
    const std::size_t end = text_.find("#}", at_);
    if (end == std::string::npos) refuse("comment", "expected its end, got the end of the template");
    const char control = end > at_ ? text_[end - 1] : '\0';
    advance(end + 2);
    skip_after(control, true);
  }

  /// Behind a tag's end: `-` takes all blanks, `+` nothing, and none of them a block's line break.
  void skip_after(char control, bool block) {
    if (control == '-')
      advance(text_.size() - python::strip(std::string_view(text_).substr(at_), {}, true, false).size());
    else if (control != '+' && block && at_ < text_.size() && text_[at_] == '\n')
      advance(at_ + 1);
  }

  std::size_t after_blanks(std::size_t at) const {
    return text_.size() - python::strip(std::string_view(text_).substr(at), {}, true, false).size();
  }

  /// Where the text of a raw block begins.
  std::optional<std::size_t> raw_begin() const {
    std::size_t at = after_blanks(at_);
    if (text_.compare(at, 3, "raw") != 0) return std::nullopt;
    at = after_blanks(at + 3);
    if (text_.compare(at, 2, "%}") == 0) return at + 2;
    if (text_.compare(at, 3, "-%}") == 0) return after_blanks(at + 3);
    return std::nullopt;
  }

  void raw_text() {
    if (at_ == text_.size()) return;  // as for comments
    for (std::size_t open = text_.find("{%", at_); open != std::string::npos; open = text_.find("{%", open + 1)) {
      std::size_t at = open + 2;
      char control = at < text_.size() ? text_[at] : '\0';
      if (control != '-' && control != '+') control = '\0';
      at = after_blanks(at + (control != '\0' ? 1 : 0));
      if (text_.compare(at, 6, "endraw") != 0) continue;
      at = after_blanks(at + 6);
      const char behind = at < text_.size() ? text_[at] : '\0';
      const std::size_t end = at + (behind == '-' || behind == '+' ? 1 : 0);
      if (text_.compare(end, 2, "%}") != 0) continue;
      add_data(before_tag(text_.substr(at_, open - at_), control, false));
      advance(end + 2);
      skip_after(behind, true);
      return;
    }
    refuse("raw", "expected endraw, got the end of the template");
  }

  /// The inside of {{ }} or {% %}.
  void inside(bool variable) {
    std::vector<char> open;
    while (at_ < text_.size()) {
      if (open.empty() && tag_ends(variable)) return;
      const auto c = utf8_char_at(text_, at_);
      if (python::is_space(c.code))
        advance(at_ + c.length);
      else if (c.code >= '0' && c.code <= '9')
        number();
      else if (c.code == '_' || (c.code < 0x80 && std::isalpha(static_cast<int>(c.code)) != 0))
        name();
      else if (c.code == '"' || c.code == '\'')
        literal();
      else
        sign(open);
    }
    refuse(variable ? "{{" : "{%", "expected the end of the tag, got the end of the template");
  }

  bool tag_ends(bool variable) {
    const char control = text_[at_];
    const bool controls = control == '-' || (control == '+' && !variable);
    const std::size_t end = at_ + (controls ? 1 : 0);
    if (text_.compare(end, 2, variable ? "}}" : "%}") != 0) return false;
    add(variable ? Token::Type::variable_end : Token::Type::block_end, "");
    advance(end + 2);
    skip_after(controls ? control : '\0', !variable);
    return true;
  }

  void name() {
    std::size_t end = at_;
    while (end < text_.size() && (text_[end] == '_' || std::isalnum(static_cast<unsigned char>(text_[end])) != 0))
      ++end;
    add(Token::Type::name, text_.substr(at_, end - at_));
    advance(end);
  }

  /// Digits with single underscores between them.
  std::size_t digits(std::size_t at) const {
    const auto is_digit = [&](std::size_t i) { return i < text_.size() && text_[i] >= '0' && text_[i] <= '9'; };
    while (is_digit(at) || (at < text_.size() && text_[at] == '_' && is_digit(at + 1))) ++at;
    return at;
  }

  void number() {
    const std::size_t whole = digits(at_);
    std::size_t end = whole;
    const bool after_dot = at_ > 0 && text_[at_ - 1] == '.';
    if (!after_dot && end < text_.size() && text_[end] == '.' && digits(end + 1) > end + 1) end = digits(end + 1);
    if (!after_dot && end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      std::size_t exponent = end + 1;
      if (exponent < text_.size() && (text_[exponent] == '+' || text_[exponent] == '-')) ++exponent;
      if (digits(exponent) > exponent) end = digits(exponent);
    }
    std::string value = text_.substr(at_, end - at_);
    std::erase(value, '_');
    if (value.size() > 1 && value[0] == '0' && end == whole)
      refuse(value, "expected a decimal number without zeros in front, got another; others are not supported");
    if (end < text_.size() && (text_[end] == 'x' || text_[end] == 'b' || text_[end] == 'o') && value == "0")
      refuse(value + text_[end], "expected a decimal number, got another; it is not supported");
    add(end == whole ? Token::Type::integer : Token::Type::real, std::move(value));
    advance(end);
  }

  void sign(std::vector<char>& open) {
    static constexpr std::string_view longer[] = {"//", "**", "==", "!=", ">=", "<="};
    const std::string_view rest = std::string_view(text_).substr(at_);
    std::string_view found;
    for (const auto candidate : longer) {
      if (rest.starts_with(candidate)) found = candidate;
    }
    static constexpr std::string_view single = "+-/*%~[](){}><=.:|,;";
    if (found.empty() && single.find(rest[0]) != std::string_view::npos) found = rest.substr(0, 1);
    if (found.empty())
      refuse(rest.substr(0, utf8_char_at(rest, 0).length),
             "expected an expression, got a character that has no meaning");
    const char c = found[0];
    if (c == '(' || c == '[' || c == '{') open.push_back(c == '(' ? ')' : static_cast<char>(c + 2));
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) refuse(found, "expected the bracket that is open, got another");
      open.pop_back();
    }
    add(Token::Type::sign, std::string(found));
    advance(at_ + found.size());
  }

  void literal() {
    const char quote = text_[at_];
    const std::size_t begin = at_ + 1;
    std::size_t end = begin;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) refuse("string", "expected its end, got the end of the template");
    add(Token::Type::text, unescaped(std::string_view(text_).substr(begin, end - begin)));
    advance(end + 1);
  }

  /// Python's escapes in literals; what is none stays.
  std::string unescaped(std::string_view raw) const {
    std::string result;
    for (std::size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '\\') {
        result += raw[i];
        continue;
      }
      const char c = raw[++i];
      static constexpr std::string_view letters = "\\'\"abfnrtv", values = "\\'\"\a\b\f\n\r\t\v";
      if (const auto at = letters.find(c); at != std::string_view::npos) {
        result += values[at];
      } else if (c == '\n') {
        continue;
      } else if (c >= '0' && c <= '7') {
        i += append_code(result, raw.substr(i), 3, 8) - 1;
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const std::size_t count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        if (append_code(result, raw.substr(i + 1), count, 16) != count)
          refuse("string", text("expected ", count, " hexadecimal digits behind \\", c, ", got fewer"));
        i += count;
      } else if (c == 'N') {
        refuse("string", "expected no character by its name (\\N), which is not supported, got one");
      } else {
        result.append(1, '\\').append(1, c);
      }
    }
    return result;
  }

  /// Appends the character of a code of at most `most` digits, and says how many there were.
  std::size_t append_code(std::string& out, std::string_view digits, std::size_t most, int base) const {
    std::uint32_t code = 0;
    const auto end = std::from_chars(digits.data(), digits.data() + std::min(most, digits.size()), code, base);
    const bool is_character = code < 0xD800 || (code > 0xDFFF && code <= 0x10FFFF);
    if (!is_character) refuse("string", "expected the code of a character, got one that is none");
    const auto count = static_cast<std::size_t>(end.ptr - digits.data());
    if (count > 0) append_utf8(out, static_cast<char32_t>(code));
    return count;
  }

  void add_data(std::string data) {
    if (!data.empty()) add(Token::Type::data, std::move(data));
  }
  void add(Token::Type type, std::string value) { tokens_.push_back({type, std::move(value), line_}); }

  void advance(std::size_t to) {
    for (; at_ < to; ++at_) line_ += text_[at_] == '\n' ? 1 : 0;
  }

  [[noreturn]] void refuse(std::string_view construct, std::string_view detail) const {
    refuse_template(source_, line_, construct, detail);
  }

  std::string_view source_;
  std::string text_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  bool begins_line_ = true;
  std::vector<Token> tokens_;
};

}  // namespace greentrainer::templates
