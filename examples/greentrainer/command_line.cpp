#include "command_line.hpp"

#include <iostream>
#include <map>

#include <CLI/CLI.hpp>

#include "config_file.hpp"
#include "greentrainer/core/version.hpp"

namespace greentrainer::program {

namespace {

/// Command line values as they stand, by option.
using RawValues = std::map<std::string, std::vector<std::string>>;

struct Parsed {
  Command* command;
  CLI::App* app;
  RawValues values;
  std::map<std::string, bool> switches;
};

void declare(CLI::App& app, Parsed& parsed) {
  for (const auto& option : parsed.command->options()) {
    if (option.is_switch()) {
      app.add_flag("--" + option.name, parsed.switches[option.name], option.help);
    } else {
      app.add_option((option.positional ? "" : "--") + option.name, parsed.values[option.name], option.help)
          ->type_name(option.placeholder)
          ->expected(1)
          ->allow_extra_args(false)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
  }
}

std::vector<std::string> option_names(const Command& command) {
  std::vector<std::string> names = {"--help"};
  for (const auto& option : command.options()) {
    if (!option.positional) names.push_back("--" + option.name);
  }
  return names;
}

std::vector<std::string> command_names(const std::vector<Command>& commands) {
  std::vector<std::string> names;
  for (const Command& c : commands) names.push_back(c.name());
  return names;
}

[[noreturn]] void refuse_extra(const std::string& extra, const Command* command, const std::vector<Command>& commands) {
  if (command == nullptr) {
    bad_usage("greentrainer",
              text(extra, ": expected a command, got an unknown one", suggestion(extra, command_names(commands))));
  }
  if (!extra.starts_with('-'))
    bad_usage(command->name(),
              text(extra, ": expected an option, got a bare word; see greentrainer ", command->name(), " --help"));
  const std::string name = extra.substr(0, extra.find('='));
  bad_usage(command->name(), text(name, ": expected an option of ", command->name(), ", got an unknown one",
                                  suggestion(name, option_names(*command))));
}

}  // namespace

Command* read_command_line(int argc, char** argv, std::vector<Command>& commands) {
  CLI::App app(program_summary, "greentrainer");
  app.footer(text(program_examples, "\nExit status: ", exit_statuses));
  app.set_version_flag("--version", text("greentrainer ", version));
  app.get_formatter()->column_width(34);
  app.allow_extras();
  app.require_subcommand(0, 1);  // a second command's name is a word too many
  std::vector<Parsed> parsed(commands.size());
  for (std::size_t i = 0; i < commands.size(); ++i) {
    parsed[i] = {&commands[i], app.add_subcommand(commands[i].name(), commands[i].summary()), {}, {}};
    parsed[i].app->footer(commands[i].examples());
    parsed[i].app->allow_extras();
    declare(*parsed[i].app, parsed[i]);
  }

  Parsed* chosen = nullptr;
  const auto choose = [&] {
    for (Parsed& p : parsed) {
      if (p.app->parsed()) chosen = &p;
    }
  };
  try {
    app.parse(argc, argv);
    choose();
  } catch (const CLI::Success& help) {
    app.exit(help);
    return nullptr;
  } catch (const CLI::ParseError& error) {
    choose();
    const std::string command = chosen == nullptr ? "greentrainer" : chosen->command->name();
    bad_usage(command, text(error.what(), "; see greentrainer", chosen == nullptr ? "" : " " + command, " --help"));
  }
  for (const std::string& extra : app.remaining(true))
    refuse_extra(extra, chosen == nullptr ? nullptr : chosen->command, commands);
  if (chosen == nullptr)
    bad_usage("greentrainer", text("command: expected one, got none", suggestion("", command_names(commands)),
                                   "; see greentrainer --help"));

  Command& command = *chosen->command;
  if (const auto& file = chosen->values["config"]; !file.empty()) read_config_file(file.back(), command, commands);
  for (auto& option : command.options()) {
    if (option.is_switch()) {
      if (chosen->app->count("--" + option.name) == 0) continue;
      option.set({chosen->switches[option.name] ? "true" : "false"});
    } else {
      const auto& values = chosen->values[option.name];
      if (values.empty()) continue;
      if (values.size() > 1 && !option.list)
        bad_usage(command.name(), text("--", option.name, ": expected one value, got ", values.size()));
      option.set(values);
    }
    option.source = Command::Source::command_line;
  }
  return &command;
}

}  // namespace greentrainer::program
