#include "terminal.hpp"

#include <cstddef>
#include <iostream>
#include <streambuf>
#include <unistd.h>

#include "greentrainer/core/utf8.hpp"

namespace greentrainer::program {

namespace {

void append_hexadecimal(std::string& text, unsigned value, int digits) {
  constexpr std::string_view names = "0123456789abcdef";
  for (int digit = digits - 1; digit >= 0; --digit) text += names[(value >> (4 * digit)) & 15U];
}

/// Keeps what is written until a line or a flush ends, so that no character comes in two parts.
class ControlFilter : public std::streambuf {
 public:
  explicit ControlFilter(std::streambuf& out) : out_(out) {}

 private:
  int_type overflow(int_type c) override {
    if (!traits_type::eq_int_type(c, traits_type::eof())) pending_ += traits_type::to_char_type(c);
    return c == '\n' && !pass_on() ? traits_type::eof() : traits_type::not_eof(c);
  }

  std::streamsize xsputn(const char* bytes, std::streamsize count) override {
    pending_.append(bytes, static_cast<std::size_t>(count));
    return pending_.find('\n') == std::string::npos || pass_on() ? count : 0;
  }

  int sync() override { return pass_on() && out_.pubsync() == 0 ? 0 : -1; }

  bool pass_on() {
    const std::string text = without_controls(pending_);
    pending_.clear();
    const auto size = static_cast<std::streamsize>(text.size());
    return out_.sputn(text.data(), size) == size;
  }

  std::streambuf& out_;
  std::string pending_;
};

}  // namespace

std::string without_controls(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = utf8_char_at(text, i);
    const bool control = (c.code < 0x20 && c.code != '\n' && c.code != '\t') || (c.code >= 0x7F && c.code < 0xA0);
    if (!c.valid) {
      for (std::size_t byte = i; byte < i + c.length; ++byte) {
        result += "\\x";
        append_hexadecimal(result, static_cast<unsigned char>(text[byte]), 2);
      }
    } else if (control) {
      result += "\\u";
      append_hexadecimal(result, static_cast<unsigned>(c.code), 4);
    } else {
      result.append(text, i, c.length);
    }
    i += c.length;
  }
  return result;
}

TerminalOutput::TerminalOutput() {
  if (isatty(STDOUT_FILENO) == 0) return;
  original_ = std::cout.rdbuf();
  filter_ = std::make_unique<ControlFilter>(*original_);
  std::cout.rdbuf(filter_.get());
}

TerminalOutput::~TerminalOutput() {
  if (original_ == nullptr) return;
  std::cout.flush();
  std::cout.rdbuf(original_);
}

}  // namespace greentrainer::program
