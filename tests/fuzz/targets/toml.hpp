#pragma once

// reader: config_file.cpp toml_guard.cpp

#include <string_view>

#include "config_file.hpp"
#include "fuzz/fuzz_input.hpp"

namespace greentrainer::fuzz {

/// A configuration file of the program, and the values in its tables.
inline void toml(std::string_view input) {
  static const InputFolder folder;
  const auto visit = [](const auto& self, const ::toml::table& table) -> void {
    for (const auto& [key, node] : table) {
      if (const auto* inner = node.as_table())
        self(self, *inner);
      else
        program::option_values(std::string(key.str()), node, true);
    }
  };
  visit(visit, program::read_toml("config", folder.write("run.toml", input).string()));
}

}  // namespace greentrainer::fuzz
