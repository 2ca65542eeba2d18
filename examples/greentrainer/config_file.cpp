#include "config_file.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "greentrainer/io/file.hpp"
#include "toml_guard.hpp"
#include "toml_parser.hpp"

namespace greentrainer::program {

namespace {

std::string text_of(const std::string& where, const toml::node& node) {
  if (const auto value = node.value_exact<std::string>()) return *value;
  if (const auto value = node.value_exact<bool>()) return *value ? "true" : "false";
  if (const auto value = node.value_exact<std::int64_t>()) return text(*value);
  if (const auto value = node.value_exact<double>()) {
    char digits[32];  // the fewest that are this number: an experiment's report shows them
    const auto end = std::to_chars(std::begin(digits), std::end(digits), *value).ptr;
    return std::string(digits, end);
  }
  bad_usage("config", where + ": expected a text, a number or true or false, got something else");
}

bool known(const std::vector<Command>& commands, std::string_view key) {
  return std::any_of(commands.begin(), commands.end(), [&](const Command& c) { return c.find(key) != nullptr; });
}

/// Options of one table. At the top level, an option of another command is passed over.
void apply(const toml::table& table, const std::string& path, Command& command, const std::vector<Command>& commands,
           bool top_level) {
  for (const auto& [toml_key, node] : table) {
    const std::string key(toml_key.str());
    const std::string where = text(path, ", key \"", key, '"');
    if (top_level && node.is_table()) continue;
    Command::Option* option = command.find(key);
    if (option == nullptr || key == "config") {
      if (top_level && key != "config" && known(commands, key)) continue;
      std::vector<std::string> names;
      for (const auto& o : command.options()) {
        if (o.name != "config") names.push_back(o.name);
      }
      bad_usage("config", text(where, ": expected an option of ", command.name(),
                               " without its dashes, got an unknown one", suggestion(key, names)));
    }
    const std::vector<std::string> values = option_values(where, node, option->list);
    try {
      option->set(values);
    } catch (const UsageError& error) {
      bad_usage("config", text(path, ", ", error.message()));  // say which file the value is from
    }
    option->source = Command::Source::file;
  }
}

}  // namespace

toml::table read_toml(const std::string& where, const std::string& path) {
  const std::string bytes = read_file(path, Bytes{1} << 20, FileKind::any);
  check_toml(where, path, bytes);
  try {
    return toml::parse(bytes, path);
  } catch (const toml::parse_error& error) {
    throw LoadError(where, text(path, ", line ", error.source().begin.line),
                    text("expected TOML, got an error: ", error.description()));
  } catch (const TomlAssertion&) {
    throw LoadError(where, path, "expected TOML, got something else; is a key or a date incomplete?");
  }
}

std::vector<std::string> option_values(const std::string& where, const toml::node& node, bool list) {
  const toml::array* array = node.as_array();
  if (array == nullptr) return {text_of(where, node)};
  if (!list) bad_usage("config", where + ": expected one value, got an array");
  std::vector<std::string> values;
  for (const toml::node& element : *array) values.push_back(text_of(where, element));
  return values;
}

void read_config_file(const std::string& path, Command& command, const std::vector<Command>& commands) {
  const toml::table file = read_toml("config", path);
  std::vector<std::string> names;
  for (const Command& c : commands) names.push_back(c.name());
  for (const auto& [key, node] : file) {
    if (node.is_table() && std::find(names.begin(), names.end(), key.str()) == names.end()) {
      bad_usage("config", text(path, ", table [", key.str(), "]: expected the name of a command, got an unknown one",
                               suggestion(key.str(), names)));
    }
  }
  apply(file, path, command, commands, true);
  if (const toml::table* own = file[command.name()].as_table()) apply(*own, path, command, commands, false);
  // The tables of other commands are checked for unknown keys as well: a mistake there is found before it matters.
  for (const Command& other : commands) {
    const toml::table* table = &other == &command ? nullptr : file[other.name()].as_table();
    if (table == nullptr) continue;
    for (const auto& [key, node] : *table) {
      if (other.find(key.str()) != nullptr && key.str() != "config") continue;
      std::vector<std::string> options;
      for (const auto& o : other.options()) options.push_back(o.name);
      bad_usage("config", text(path, ", table [", other.name(), "], key \"", key.str(),
                               "\": expected an option, got an unknown one", suggestion(key.str(), options)));
    }
  }
}

}  // namespace greentrainer::program
