#pragma once

#include <string>
#include <string_view>

namespace greentrainer::program {

/// Tables and arrays of a configuration file nest at most so deep, each part of a dotted key counted as a table.
inline constexpr int max_toml_depth = 100;

/// Refuses what the TOML parser does not: nesting that would exhaust the stack (the parser limits brackets, but each of
/// them may hold a key of many parts), and characters beyond ASCII outside of quotes and comments, where TOML has none.
/// Throws LoadError naming the line; what else is no TOML is left to the parser.
void check_toml(const std::string& where, const std::string& path, std::string_view bytes);

}  // namespace greentrainer::program
