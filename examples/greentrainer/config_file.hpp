#pragma once

#include <string>
#include <vector>

#include "command.hpp"
#include "toml_parser.hpp"

namespace greentrainer::program {

/// Parses a file of at most 1 MiB. Throws LoadError naming `where`, file and line.
toml::table read_toml(const std::string& where, const std::string& path);

/// The value of an option as it would stand on a command line; several for an array, which needs `list`. Throws
/// UsageError naming `where`.
std::vector<std::string> option_values(const std::string& where, const toml::node& node, bool list);

/// Sets the options of `command` from a TOML file. Keys are the names of options without dashes, at the top level (for
/// all commands) or in a table named like the command, which goes first; arrays are lists. Throws UsageError for a key
/// or table that no command knows, LoadError for a file that cannot be read or is not TOML.
void read_config_file(const std::string& path, Command& command, const std::vector<Command>& commands);

}  // namespace greentrainer::program
