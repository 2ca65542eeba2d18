// greentrainer man: the manual page, from the tables that --help is made of.

#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "command_line.hpp"
#include "commands.hpp"
#include "greentrainer/core/version.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer man | man -l -                   # reads it\n"
    "  greentrainer man > ~/.local/share/man/man1/greentrainer.1";

/// Text for troff: a hyphen would be typeset, and a line that begins with a point or a quote would be a request.
std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const bool begins_line = result.empty() || result.back() == '\n';
    if (begins_line && (c == '.' || c == '\'')) result += "\\&";
    if (c == '\\')
      result += "\\e";
    else if (c == '-')
      result += "\\-";
    else
      result += c;
  }
  return result;
}

void print_section(std::string_view name) { std::cout << ".SH " << name << '\n'; }

/// Lines as they stand, without their heading and the indentation that all have.
void print_examples(const std::string& text) {
  std::istringstream lines(text);
  std::cout << ".PP\n.EX\n";
  for (std::string line; std::getline(lines, line);) {
    if (line == "Examples:") continue;
    std::cout << escaped(line.starts_with("  ") ? line.substr(2) : line) << '\n';
  }
  std::cout << ".EE\n";
}

void print_option(const Command::Option& option) {
  std::cout << ".TP\n";
  if (option.positional)
    std::cout << "\\fI" << escaped(option.name) << "\\fR";
  else
    std::cout << "\\fB" << escaped("--" + option.name) << "\\fR";
  if (!option.positional && !option.is_switch()) std::cout << " \\fI" << escaped(option.placeholder) << "\\fR";
  std::cout << '\n' << escaped(option.help) << '\n';
}

void print_command(const Command& command) {
  std::cout << ".SS " << command.name() << "\n" << escaped(command.summary()) << "\n";
  for (const auto& option : command.options()) print_option(option);
  print_examples(command.examples());
}

}  // namespace

Command make_man_command(const std::vector<Command>& all) {
  Command command("man", "Prints this program's manual page, for man", examples);
  command.run = [&all](const Command&) {
    std::cout << ".TH GREENTRAINER 1 \"\" \"greentrainer " << version << "\" \"User Commands\"\n";
    print_section("NAME");
    std::cout << "greentrainer \\- fine\\-tune language models within a FLOPs budget\n";
    print_section("SYNOPSIS");
    std::cout << "\\fBgreentrainer\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]...\n";
    print_section("DESCRIPTION");
    std::cout << escaped(program_summary)
              << "\n.PP\nOptions may also stand in a TOML file (\\fB\\-\\-config\\fR); one on the command line wins "
                 "over the file.\n";
    print_section("COMMANDS");
    for (const Command& each : all) print_command(each);
    print_section("EXIT STATUS");
    std::cout << escaped(exit_statuses) << '\n';
    print_section("EXAMPLES");
    print_examples(program_examples);
    return 0;
  };
  return command;
}

}  // namespace greentrainer::program
