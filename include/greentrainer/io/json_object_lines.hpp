#pragma once

#include <string_view>
#include <unordered_map>
#include <vector>

#include "greentrainer/core/types.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// On which line of a JSON text each of its objects begins, so that an error can say where an entry of a large file is.
class JsonObjectLines {
 public:
  /// `root` is what `text` was parsed to, and must stay where it is.
  JsonObjectLines(std::string_view text, const OrderedJson& root) {
    std::vector<Extent> lines;  // of opening braces, in the order of the text, which is that of the parsed value
    Extent line = 1;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\n') ++line;
      if (in_string) {
        if (c == '\\') ++i;
        if (c == '"') in_string = false;
      } else if (c == '"') {
        in_string = true;
      } else if (c == '{') {
        lines.push_back(line);
      }
    }
    auto next = lines.cbegin();
    visit(root, next);
  }

  /// From 1. Requires an object of the parsed value itself, not a copy.
  Extent line_of(const OrderedJson& object) const { return lines_.at(&object); }

 private:
  // The parser refuses texts that are nested deeper than max_json_depth.
  void visit(const OrderedJson& value, std::vector<Extent>::const_iterator& next) {
    if (value.is_object()) lines_[&value] = *next++;
    if (!value.is_structured()) return;
    for (const OrderedJson& element : value) visit(element, next);
  }

  std::unordered_map<const OrderedJson*, Extent> lines_;
};

}  // namespace greentrainer
