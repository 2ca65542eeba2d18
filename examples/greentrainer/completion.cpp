// greentrainer completion: what a shell needs to complete the program's commands and options.

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "commands.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  source <(greentrainer completion bash)        # in ~/.bashrc\n"
    "  source <(greentrainer completion zsh)         # in ~/.zshrc, behind compinit\n"
    "  greentrainer completion fish > ~/.config/fish/completions/greentrainer.fish";

std::string words(const std::vector<std::string>& all) {
  std::string joined;
  for (const std::string& word : all) joined += (joined.empty() ? "" : " ") + word;
  return joined;
}

/// Of a text within single quotes.
std::string quoted(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return "'" + result + "'";
}

/// Commands first, then values of the option in front, then options. Where nothing is offered the shell offers files.
void print_bash(const std::vector<Command>& commands) {
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.name());
  std::cout << "_greentrainer() {\n"
               "  local word=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\" offered=\n"
               "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
               "    offered="
            << quoted(words(names) + " --help --version")
            << "\n"
               "  else\n"
               "    case \"${COMP_WORDS[1]} $previous\" in\n";
  for (const Command& command : commands) {
    std::vector<std::string> options = {"--help"};
    for (const auto& option : command.options()) {
      if (!option.positional) options.push_back("--" + option.name);
      if (option.is_switch() || option.positional) continue;
      std::cout << "      " << quoted(command.name() + " --" + option.name)
                << ") offered=" << quoted(words(option.choices)) << " ;;\n";
    }
    std::cout << "      " << quoted(command.name() + " ") << "*) offered=" << quoted(words(options)) << " ;;\n";
  }
  std::cout << "    esac\n"
               "  fi\n"
               "  COMPREPLY=($(compgen -W \"$offered\" -- \"$word\"))\n"
               "}\n"
               "complete -o default -F _greentrainer greentrainer\n";
}

void print_fish(const std::vector<Command>& commands) {
  for (const Command& command : commands) {
    std::cout << "complete -c greentrainer -n __fish_use_subcommand -f -a " << command.name() << " -d "
              << quoted(command.summary()) << '\n';
    for (const auto& option : command.options()) {
      if (option.positional) continue;
      std::cout << "complete -c greentrainer -n '__fish_seen_subcommand_from " << command.name() << "' -l "
                << option.name;
      if (!option.choices.empty())
        std::cout << " -x -a " << quoted(words(option.choices));
      else if (!option.is_switch())
        std::cout << " -r";
      std::cout << " -d " << quoted(option.help) << '\n';
    }
  }
}

}  // namespace

Command make_completion_command(const std::vector<Command>& all) {
  const auto shell = std::make_shared<std::string>();
  Command command("completion", "What a shell needs to complete commands and options", examples);
  command.positional("SHELL", *shell, "bash, zsh or fish");
  command.check = [shell](const Command& self) {
    self.require("SHELL");
    if (*shell != "bash" && *shell != "zsh" && *shell != "fish")
      bad_usage("completion", text("SHELL: expected bash, zsh or fish, got ", *shell));
  };
  command.run = [shell, &all](const Command&) {
    if (*shell == "zsh") std::cout << "autoload -U +X bashcompinit && bashcompinit\n";
    if (*shell == "fish")
      print_fish(all);
    else
      print_bash(all);
    return 0;
  };
  return command;
}

}  // namespace greentrainer::program
