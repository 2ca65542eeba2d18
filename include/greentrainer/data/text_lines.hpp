#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"
#include "greentrainer/data/data_file.hpp"
#include "greentrainer/data/row_range.hpp"

namespace greentrainer {

/// Runs `read()`, whose DataErrors do not know where they are, and adds file and line to them.
template <class Read>
decltype(auto) with_line(std::string_view where, const std::filesystem::path& path, Extent line, Read read) {
  try {
    return read();
  } catch (const DataError& error) {
    throw DataError(where, text(path.string(), ", line ", line), error.message());
  }
}

/// Of a file without a row, or without one in the range.
[[noreturn]] inline void throw_no_row(std::string_view where, const std::filesystem::path& path, const RowRange& rows) {
  const bool all = rows.first == 0 && rows.last == RowRange{}.last;
  throw DataError(where, path.string(),
                  text("expected at least one row", all ? "" : text(" from row ", rows.first, " on, counted from 0"),
                       ", got none; is the file complete", all ? "?" : ", or are other rows meant?"));
}

/// Calls read(line, number) for each line of the range that is not blank, numbered from 1, without its line end.
/// DataErrors get file and line.
template <class Read>
void for_each_line(std::string_view where, const std::filesystem::path& path, std::string_view contents, RowRange rows,
                   Read read) {
  Extent row = 0;
  for (Extent number = 1; !contents.empty() && row < rows.last; ++number) {
    const std::size_t end = std::min(contents.find('\n'), contents.size());
    std::string_view line = contents.substr(0, end);
    contents.remove_prefix(std::min(end + 1, contents.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    if (rows.contains(row)) with_line(where, path, number, [&] { read(line, number); });
    ++row;
  }
}

/// The same for all lines.
template <class Read>
void for_each_line(std::string_view where, const std::filesystem::path& path, std::string_view contents, Read read) {
  for_each_line(where, path, contents, RowRange{}, std::move(read));
}

}  // namespace greentrainer
