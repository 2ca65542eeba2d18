#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>

namespace greentrainer::program {

/// A text for a terminal: control characters but line breaks and tabs as \u001b, bytes that are not UTF-8 as \xff.
/// Texts of models and files may hold sequences that move the cursor, change the title or write to the clipboard.
std::string without_controls(std::string_view text);

/// While it lives, what std::cout gets is written without control characters where stdout is a terminal. Files and
/// pipes get every byte as it is.
class TerminalOutput {
 public:
  TerminalOutput();
  ~TerminalOutput();
  TerminalOutput(const TerminalOutput&) = delete;
  TerminalOutput& operator=(const TerminalOutput&) = delete;

 private:
  std::unique_ptr<std::streambuf> filter_;
  std::streambuf* original_ = nullptr;
};

}  // namespace greentrainer::program
