#pragma once

// reader: config_file.cpp toml_guard.cpp

#include <string>
#include <string_view>
#include <vector>

#include "config_file.hpp"
#include "fuzz/fuzz_input.hpp"

namespace greentrainer::fuzz {

/// The values in the tables of a configuration file of the program.
inline void values_of(const ::toml::table& table) {
  for (const auto& [key, node] : table) {
    if (const auto* inner = node.as_table())
      values_of(*inner);
    else
      program::option_values(std::string(key.str()), node, true);
  }
}

/// A configuration file of the program: its values, and what it says to a command with an option of each kind.
inline void toml(std::string_view input) {
  static const InputFolder folder;
  const std::string file = folder.write("run.toml", input).string();
  accepts(
      [&](std::string_view) {
        std::string model;
        std::vector<std::string> tensors;
        Extent epochs = 0;
        double rho = 0;
        bool json = false;
        program::Command command("finetune", "", ""), other("evaluate", "", "");
        command.text("model", model, "DIR", "");
        command.list("tensors", tensors, "NAMES", "");
        command.whole("epochs", epochs, 1, "");
        command.number("rho", rho, 0, true, "", 1);
        command.on("json", json, "");
        other.text("data", model, "FILE", "");
        program::read_config_file(file, command, {command, other});
      },
      input);
  values_of(program::read_toml("config", file));
}

}  // namespace greentrainer::fuzz
