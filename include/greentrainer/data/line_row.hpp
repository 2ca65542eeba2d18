#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/utf8.hpp"
#include "greentrainer/data/data_file.hpp"
#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// The row that a line of a data file is: a JSON object, or in a file of plain text {key: line}. Throws DataError for a
/// line that is neither.
inline OrderedJson line_row(const std::filesystem::path& path, std::string_view line, const char* key) {
  if (!is_plain_text(path)) return parse_row<OrderedJson>(line);
  if (const std::size_t at = find_invalid_utf8(line); at != std::string_view::npos)
    throw DataError("data", "text", text("expected UTF-8, got something else at byte ", at + 1, "; convert the file"));
  return {{key, std::string(line)}};
}

}  // namespace greentrainer
