#pragma once

#include <string>
#include <string_view>

namespace greentrainer::program {

/// Tables and arrays of a configuration file nest at most so deep, each part of a dotted key counted as a table.
inline constexpr int max_toml_depth = 100;

/// Refuses nesting that would exhaust the stack: the TOML parser limits brackets, but each of them may hold a key of
/// many parts. Throws LoadError naming the line; what is no TOML is left to the parser.
void check_toml_depth(const std::string& where, const std::string& path, std::string_view bytes);

}  // namespace greentrainer::program
