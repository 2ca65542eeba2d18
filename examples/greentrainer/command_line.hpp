#pragma once

#include <vector>

#include "command.hpp"

namespace greentrainer::program {

/// Reads the command line, and the file of --config, into the options of the command that is named. Returns it, or
/// nullptr after --help or --version, which are printed. Throws UsageError for anything unknown or malformed, with the
/// nearest known name.
Command* read_command_line(int argc, char** argv, std::vector<Command>& commands);

}  // namespace greentrainer::program
