#pragma once

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <signal.h>
#include <spawn.h>
#include <stdexcept>
#include <stdlib.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "greentrainer/io/json.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

extern char** environ;

namespace greentrainer::testing {

inline std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline std::filesystem::path source_path(const std::string& name) { return testing::source_folder() / name; }
inline std::string golden_model(const std::string& name) { return source_path("tests/golden/models/" + name).string(); }

/// What a run of the program gave.
struct Outcome {
  int status = -1;
  std::string out, err;

  Json json() const { return parse_json(out, "stdout"); }
  std::size_t error_lines() const { return static_cast<std::size_t>(std::count(err.begin(), err.end(), '\n')); }
};

/// Starts the program with these files as its standard ones, by a launcher (a command and its options) if one is given.
/// Throws if it is not there.
inline pid_t start_program(std::vector<std::string> arguments, const posix_spawn_file_actions_t& files,
                           const std::vector<std::string>& launcher = {}) {
  arguments.insert(arguments.begin(), program_path().string());
  arguments.insert(arguments.begin(), launcher.begin(), launcher.end());
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t process = -1;
  if (posix_spawnp(&process, argv.front(), &files, nullptr, argv.data(), environ) != 0)
    throw std::runtime_error(program_path().string() +
                             ": expected the program to be built (target greentrainer_program)");
  return process;
}

/// The program in a process of its own, its output in files, its input from one.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments, const std::string& input = "/dev/null",
                   const std::vector<std::string>& launcher = {}) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input.c_str(), O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    process_ = start_program(std::move(arguments), actions, launcher);
    posix_spawn_file_actions_destroy(&actions);
  }

  std::string error_so_far() const { return contents(err_); }
  pid_t process() const { return process_; }
  void signal(int number) const { ::kill(process_, number); }
  Outcome wait() {
    int status = 0;
    ::waitpid(process_, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), contents(out_), contents(err_)};
  }

 private:
  TemporaryFolder folder_;
  std::string out_ = (folder_ / "out").string(), err_ = (folder_ / "err").string();
  pid_t process_ = -1;
};

/// What the program writes to a terminal. stdout and stderr are the same one.
inline std::string run_on_terminal(std::vector<std::string> arguments) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0 || ::grantpt(terminal) != 0 || ::unlockpt(terminal) != 0)
    throw std::runtime_error("expected a terminal, got none");
  const std::string name = ::ptsname(terminal);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, name.c_str(), O_WRONLY | O_NOCTTY, 0);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  const pid_t process = start_program(std::move(arguments), actions);
  posix_spawn_file_actions_destroy(&actions);
  std::string written;
  char buffer[4096];
  // Ends with an error when the last writer closes the terminal.
  for (ssize_t count = 0; (count = ::read(terminal, buffer, sizeof buffer)) > 0;)
    written.append(buffer, static_cast<std::size_t>(count));
  ::waitpid(process, nullptr, 0);
  ::close(terminal);
  return written;
}

inline Outcome run_program(std::vector<std::string> arguments) { return Program(std::move(arguments)).wait(); }

/// The rows that the golden models were made with, as JSON lines of input_ids (an encoder-decoder's source) and labels.
inline std::string golden_rows(const std::string& model) {
  const Json golden = read_json_file(golden_model(model) + "/golden.json");
  const Json& ids = golden.at(golden.contains("source_ids") ? "source_ids" : "input_ids");
  std::string lines;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    lines += Json{{"input_ids", ids[i]}, {"labels", golden["labels"][i]}}.dump() + "\n";
  }
  return lines;
}

}  // namespace greentrainer::testing
