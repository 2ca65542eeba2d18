#pragma once

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/data/json_fields.hpp"
#include "greentrainer/data/text_lines.hpp"
#include "greentrainer/io/json_object_lines.hpp"

namespace greentrainer {

/// Adds the keys of an object that are not `known`, those that say null apart, to what a row does not read. "topicN"
/// stands for topic1, topic2 and so on.
inline void note_unread(const OrderedJson& object, std::initializer_list<std::string_view> known, DatasetRow& row) {
  const auto is_known = [&](const std::string& key) {
    const std::string numbered = key.substr(0, key.find_last_not_of("0123456789") + 1) + "N";
    return std::any_of(known.begin(), known.end(),
                       [&](std::string_view name) { return name == key || name == numbered; });
  };
  for (const auto& [key, value] : object.items()) {
    if (!value.is_null() && !is_known(key)) row.unread.push_back(key);
  }
}

/// Rows of a file that is one JSON array of objects, or has one JSON object on each line. `read(object)` makes a
/// DatasetRow of each; its DataErrors get file and line. `known`: the keys that it reads, and those of the published
/// files that say nothing of prompt and answer. Throws DataError also for anything that is no such file.
template <class Read>
std::vector<DatasetRow> read_json_rows(const std::filesystem::path& path, std::initializer_list<std::string_view> known,
                                       Read read) {
  const std::string contents = read_data_file(path);
  std::vector<DatasetRow> rows;
  const auto add = [&](const OrderedJson& object, Extent line) {
    rows.push_back(read(object));
    rows.back().line = line;
    note_unread(object, known, rows.back());
  };
  const std::size_t first = contents.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && contents[first] == '[') {
    const OrderedJson array = parse_json<OrderedJson>(contents, path.string());
    const JsonObjectLines lines(contents, array);
    for (const OrderedJson& object : array) {
      if (!object.is_object())
        throw DataError("load_dataset", path.string(),
                        text("expected a list of objects, got ", object.type_name(), " in it"));
      with_line("load_dataset", path, lines.line_of(object), [&] { add(object, lines.line_of(object)); });
    }
    return rows;
  }
  for_each_line("load_dataset", path, contents,
                [&](std::string_view line, Extent number) { add(parse_row<OrderedJson>(line), number); });
  return rows;
}

}  // namespace greentrainer
