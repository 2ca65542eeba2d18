#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/text.hpp"

namespace greentrainer {

/// Pairs of tokens that become one, in the order they were learnt.
using Merges = std::vector<std::pair<std::string, std::string>>;

/// Merges as merges.txt lists them, "left right" on each line; lines that begin with #version are comments. Throws
/// LoadError naming `source` and the line.
inline Merges parse_merges(std::string_view lines, std::string_view source) {
  Merges merges;
  for (std::size_t begin = 0, number = 1; begin < lines.size(); ++number) {
    const auto end = std::min(lines.find('\n', begin), lines.size());
    auto line = lines.substr(begin, end - begin);
    begin = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    const auto space = line.find(' ');
    if (space == 0 || space == std::string_view::npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos) {
      throw LoadError("load_tokenizer", text(source, ", line ", number),
                      text("expected two tokens with a space between, got \"", line.substr(0, 80), '"'));
    }
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

}  // namespace greentrainer
