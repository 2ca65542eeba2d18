#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// One line of JSON lines. Throws DataError without file and line.
template <class J>
J parse_row(std::string_view line) {
  try {
    return parse_json<J>(line, "row");
  } catch (const JsonSyntaxError&) {
    throw DataError("data", "row", "expected one JSON object, got something else; is every row on a line of its own?");
  } catch (const LoadError& error) {
    throw DataError("data", "row", error.detail());  // the line is the file's to say
  }
}

/// Fields of a row of data. J is Json or OrderedJson. All throw DataError, `[data] field "x": expected ..., got ...`,
/// without file and line: who reads the file adds those.
namespace json_fields {

/// Throws the DataError of a field.
[[noreturn]] inline void refuse(const char* key, std::string_view expected, std::string_view got) {
  throw DataError("data", greentrainer::text("field \"", key, "\""),
                  greentrainer::text("expected ", expected, ", got ", got));
}

template <class J>
const J& field(const J& row, const char* key, const char* expected) {
  if (!row.is_object())
    throw DataError("data", "row", greentrainer::text("expected a JSON object, got ", row.type_name()));
  const auto found = row.find(key);
  if (found == row.end()) refuse(key, expected, "nothing");
  return *found;
}

template <class J>
const std::string& text(const J& row, const char* key) {
  const J& found = field(row, key, "a text");
  if (!found.is_string()) refuse(key, "a text", found.type_name());
  return found.template get_ref<const std::string&>();
}

/// At least one text.
template <class J>
std::vector<std::string> texts(const J& row, const char* key) {
  const J& found = field(row, key, "a list of texts");
  if (!found.is_array() || found.empty())
    refuse(key, "a list of texts", found.empty() ? "an empty one" : found.type_name());
  std::vector<std::string> list;
  for (const J& item : found) {
    if (!item.is_string()) refuse(key, "texts in the list", item.type_name());
    list.push_back(item.template get<std::string>());
  }
  return list;
}

/// At least one object.
template <class J>
const J& objects(const J& row, const char* key) {
  const J& found = field(row, key, "a list of objects");
  if (!found.is_array()) refuse(key, "a list of objects", found.type_name());
  for (const J& item : found) {
    if (!item.is_object()) refuse(key, "objects in the list", item.type_name());
  }
  return found;
}

}  // namespace json_fields

}  // namespace greentrainer
