#pragma once

#include <algorithm>
#include <string>
#include <vector>

namespace greentrainer::testing {

/// The program's commands among a page's indented lines, each with the lines that its backslashes add.
inline std::vector<std::string> commands_of(const std::string& page) {
  std::vector<std::string> commands;
  bool goes_on = false;
  for (std::size_t at = 0; at < page.size();) {
    const std::size_t end = std::min(page.find('\n', at), page.size());
    std::string line = page.substr(at, end - at);
    at = end + 1;
    if (!goes_on && !line.starts_with("    greentrainer ")) continue;
    const bool again = goes_on;
    goes_on = line.ends_with('\\');
    if (goes_on) line.pop_back();
    if (again)
      commands.back() += line;
    else
      commands.push_back(line);
  }
  return commands;
}

inline std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

}  // namespace greentrainer::testing
