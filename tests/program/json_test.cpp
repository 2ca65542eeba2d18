// docs/json.md says what --json prints.

#include "greentrainer/io/json.hpp"

#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "program/page_commands.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// Of the page: the type of a key, and whether every output has it.
struct Documented {
  std::string type;
  bool always = false;
};
using Keys = std::map<std::string, Documented>;

/// The sections of the page, by heading.
std::map<std::string, std::string> sections(const std::string& page) {
  std::map<std::string, std::string> found;
  for (std::size_t at = page.find("\n## "); at != std::string::npos;) {
    const std::size_t line = page.find('\n', at + 1), next = page.find("\n## ", line);
    found[page.substr(at + 4, line - at - 4)] = page.substr(line, next - line);
    at = next;
  }
  return found;
}

/// The rows of a section's table: key, type, when, meaning.
Keys keys_of(const std::string& section) {
  Keys keys;
  std::istringstream lines(section);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| `")) continue;
    std::vector<std::string> cells;
    std::istringstream row(line.substr(1));
    for (std::string cell; std::getline(row, cell, '|');) {
      const std::size_t first = cell.find_first_not_of(' ');
      cells.push_back(first == std::string::npos ? "" : cell.substr(first, cell.find_last_not_of(' ') + 1 - first));
    }
    REQUIRE(cells.size() == 4);
    keys[cells[0].substr(1, cells[0].size() - 2)] = {cells[1], cells[2].empty()};
  }
  return keys;
}

/// Keys of an output with their types; an array or object with nothing in it has the type "".
void flatten(const Json& json, const std::string& path, std::map<std::string, std::string>& keys) {
  if (json.is_object()) {
    if (json.empty()) keys[path + ".*"] = "";
    for (const auto& [name, value] : json.items()) flatten(value, path.empty() ? name : path + "." + name, keys);
  } else if (json.is_array()) {
    if (json.empty()) keys[path + "[]"] = "";
    for (const Json& value : json) flatten(value, path + "[]", keys);
  } else {
    keys[path] = json.is_number() ? "number" : json.is_boolean() ? "bool" : json.type_name();
  }
}

/// `pattern` ends with * where any name may stand.
bool covers(const std::string& pattern, const std::string& key) {
  return pattern == key || (pattern.ends_with(".*") && key.starts_with(pattern.substr(0, pattern.size() - 1)));
}

bool is_documented(const Keys& keys, const std::string& key, const std::string& type) {
  for (const auto& [pattern, documented] : keys) {
    if (type.empty() ? pattern.starts_with(key)
                     : covers(pattern, key) && documented.type.find(type) != std::string::npos)
      return true;
  }
  return false;
}

bool is_printed(const std::map<std::string, std::string>& printed, const std::string& pattern) {
  for (const auto& [key, type] : printed) {
    if (type.empty() ? pattern.starts_with(key) : covers(pattern, key)) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("every command's --json has the keys and types of its table, and no other") {
  const TemporaryFolder folder;
  std::size_t commands = 0;
  for (const auto& [name, section] : sections(contents(source_path("docs/json.md")))) {
    const Keys keys = keys_of(section);
    for (const std::string& command : commands_of(section)) {
      const std::string here = replaced(command, "/tmp/", (folder / "").string());
      const std::string line = "cd '" + source_path("").string() + "' && XDG_CACHE_HOME='" +
                               (folder / "cache").string() + "' PATH='" + program_path().parent_path().string() +
                               "':\"$PATH\" " + here + " > '" + (folder / "out").string() + "' 2> '" +
                               (folder / "err").string() + "'";
      CAPTURE(command);
      REQUIRE_MESSAGE(std::system(line.c_str()) == 0, contents(folder / "err"));
      std::map<std::string, std::string> printed;
      flatten(parse_json(contents(folder / "out"), name), "", printed);
      for (const auto& [key, type] : printed) {
        CAPTURE(type);
        CHECK_MESSAGE(is_documented(keys, key, type), key);
      }
      for (const auto& [key, documented] : keys) CHECK_MESSAGE((!documented.always || is_printed(printed, key)), key);
      ++commands;
    }
  }
  CHECK(commands >= 9);
}

TEST_CASE("a key that the page lacks, one of another type and one that is not printed are found") {
  const Keys keys =
      keys_of("\n| `a` | number | | |\n| `b[].c` | string or null | | |\n| `d.*` | number | rarely | |\n");
  CHECK(keys.size() == 3);
  CHECK_FALSE(keys.at("d.*").always);
  CHECK(is_documented(keys, "a", "number"));
  CHECK(is_documented(keys, "b[].c", "null"));
  CHECK(is_documented(keys, "b[]", ""));
  CHECK(is_documented(keys, "d.name.with.points", "number"));
  CHECK_FALSE(is_documented(keys, "a", "string"));
  CHECK_FALSE(is_documented(keys, "e", "number"));
  CHECK(is_printed({{"b[]", ""}}, "b[].c"));
  CHECK_FALSE(is_printed({{"a", "number"}}, "b[].c"));
}
