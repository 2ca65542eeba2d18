// The program greentrainer. Each subcommand is a file of its own.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include "command_line.hpp"
#include "commands.hpp"
#include "ranks.hpp"
#include "terminal.hpp"

namespace greentrainer::program {

namespace {

enum ExitStatus { failed = 1, used_badly = 2, no_device = 77 };

/// One line, whatever the text holds.
Ending fail(std::string line, int status) {
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < 32 || c == 127; }, ' ');
  return {.status = status, .error = std::move(line)};
}

/// `ranks`: null for one alone.
Ending run(int argc, char** argv, LaunchedRanks* ranks) {
  const TerminalOutput terminal;
  std::vector<Command> commands;
  const Command* command = nullptr;
  try {
    commands.push_back(make_plan_command());
    commands.push_back(make_select_command());
    commands.push_back(make_finetune_command(ranks));
    commands.push_back(make_evaluate_command());
    commands.push_back(make_generate_command());
    commands.push_back(make_chat_command());
    commands.push_back(make_export_command());
    commands.push_back(make_experiment_command());
    commands.push_back(make_compare_command());
    commands.push_back(make_calibrate_command());
    commands.push_back(make_advise_command());
    commands.push_back(make_doctor_command());
    commands.push_back(make_completion_command(commands));
    commands.push_back(make_man_command(commands));
    command = read_command_line(argc, argv, commands);
    if (ranks != nullptr && command != nullptr && command->name() != "finetune") {
      bad_usage(command->name(), text("ranks: expected one, as for all commands but finetune, got ", ranks->size(),
                                      " started by a launcher"));
    }
    if (command != nullptr && command->check) command->check(*command);
    const int status = command == nullptr ? 0 : command->run(*command);
    std::cout.flush();
    if (!std::cout)
      throw SaveError("greentrainer", "stdout", "expected to write the result, got an error; is the disk full?");
    return {.status = status};
  } catch (const UsageError& error) {
    return fail(shown_error(error, command), used_badly);
  } catch (const MissingDevice& error) {
    return fail(error.what(), no_device);
  } catch (const ConfigError& error) {
    return fail(shown_error(error, command), failed);
  } catch (const CommunicationError& error) {
    Ending ending = fail(error.what(), failed);
    ending.others_are_lost = true;
    return ending;
  } catch (const Error& error) {
    return fail(error.what(), failed);
  } catch (const std::bad_alloc&) {
    return fail(
        "[greentrainer] memory: expected enough of it, got none left; lower --batch-size or --max-tokens, or choose "
        "fewer tensors",
        failed);
  } catch (const std::exception& error) {
    return fail(text("[greentrainer] unexpected error: ", error.what()), failed);
  }
}

int run(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write, which then cleans up
  Ending ending;
  if (launched_ranks() == 1) {
    ending = run(argc, argv, nullptr);
  } else {
    try {
      LaunchedRanks ranks;
      {
        const SilentOutput silence(!ranks.is_first());
        ending = run(argc, argv, &ranks);
      }
      return end_together(ranks, ending);
    } catch (const Error& error) {
      ending = fail(error.what(), failed);
    }
  }
  if (!ending.error.empty()) std::fprintf(stderr, "%s\n", without_controls(ending.error).c_str());
  return ending.status;
}

}  // namespace

}  // namespace greentrainer::program

int main(int argc, char** argv) { return greentrainer::program::run(argc, argv); }
