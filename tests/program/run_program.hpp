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

/// The program in a process of its own, its output in files.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), program_path().string());
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int error = posix_spawn(&process_, program_path().c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
      throw std::runtime_error(program_path().string() +
                               ": expected the program to be built (target greentrainer_program)");
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
