#pragma once

#include <string>
#include <vector>

#include "command.hpp"

namespace greentrainer::program {

/// Sets the options of `command` from a TOML file. Keys are the names of options without dashes, at the top level (for all commands) or in a table
/// named like the command, which goes first; arrays are lists. Throws UsageError for a key or table that no command knows, LoadError for a
/// file that cannot be read or is not TOML.
void read_config_file(const std::string& path, Command& command, const std::vector<Command>& commands);

}  // namespace greentrainer::program
