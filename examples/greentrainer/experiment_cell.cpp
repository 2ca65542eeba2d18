#include "experiment_cell.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <signal.h>
#include <sstream>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "console.hpp"
#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/folder_manifest.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/output_folder.hpp"
#include "greentrainer/io/put_in_place.hpp"
#include "machine.hpp"

extern char** environ;

namespace greentrainer::program {

namespace {

constexpr Bytes largest_report = Bytes{1} << 30;

/// "GreenTrainer 0.5" -> "greentrainer-0.5": a name for a folder.
std::string slug(const std::string& name) {
  std::string out = name.starts_with('.') ? "-" : "";
  for (const unsigned char c : name) out += std::isalnum(c) != 0 || c == '.' ? static_cast<char>(std::tolower(c)) : '-';
  return out;
}

std::string last_line(const std::filesystem::path& log) {
  std::istringstream lines(read_file(log, largest_report));
  std::string line, last = "nothing was said";
  while (std::getline(lines, line)) {
    if (!line.empty()) last = line;
  }
  return last;
}

/// In a new process: becomes this program with other arguments and streams, and ends when its parent ends, however that
/// ends: what would go on writes into folders of a later run. Calls nothing that a fork does not allow.
[[noreturn]] void become(char* const* arguments, pid_t parent, const char* out, const char* log) {
  constexpr int not_started = 127, flags = O_WRONLY | O_CREAT | O_TRUNC;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) ::_exit(not_started);
  const int in = ::open("/dev/null", O_RDONLY), to = ::open(out, flags, 0666), messages = ::open(log, flags, 0666);
  if (in < 0 || to < 0 || messages < 0 || ::dup2(in, STDIN_FILENO) < 0 || ::dup2(to, STDOUT_FILENO) < 0 ||
      ::dup2(messages, STDERR_FILENO) < 0) {
    ::_exit(not_started);
  }
  for (const int file : {in, to, messages}) {
    if (file > STDERR_FILENO) ::close(file);
  }
  ::execve("/proc/self/exe", arguments, environ);
  ::_exit(not_started);
}

/// Makes room for results. Removes what this program wrote: an unfinished run's, or results that lack files. What else
/// stands there is moved aside.
void make_room(const std::filesystem::path& folder) {
  std::error_code error;
  if (const auto manifest = FolderManifest::read(folder)) {
    if (manifest->state == FolderManifest::State::writing)
      std::filesystem::remove_all(folder, error);
    else
      remove_listed(folder, *manifest);
    if (!std::filesystem::exists(folder))
      say(text("note: ", folder.string(), ": removed; a run had left it unfinished"));
  }
  std::filesystem::remove(folder, error);  // only if it is empty
  if (!std::filesystem::exists(std::filesystem::symlink_status(folder, error))) return;
  std::filesystem::path aside;
  for (int i = 1; aside.empty() || std::filesystem::exists(std::filesystem::symlink_status(aside, error)); ++i)
    aside = text(folder.string(), ".kept-", i);
  std::filesystem::rename(folder, aside, error);
  if (error)
    throw SaveError("experiment", folder.string(), text("expected to move it aside, got \"", error.message(), '"'));
  say(text("note: ", folder.string(), ": not known as this program's whole results; moved to ", aside.string()));
}

void add(std::vector<std::string>& to, const std::vector<std::string>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

ExperimentCell::ExperimentCell(const ExperimentPlan& plan, const ExperimentMethod& method, std::int64_t seed)
    : method_(&method), seed_(seed), keep_model_(plan.keep_models) {
  const std::filesystem::path cells = std::filesystem::path(plan.output) / "cells";
  const std::string name = method.trains ? text(slug(method.name), "-seed", seed) : slug(method.name);
  folder_ = cells / name;
  temporary_ = cells / ("." + name + ".tmp");
  std::string model = plan.model;
  if (method.trains) {
    model = (temporary_ / "model").string();
    finetune_ = {"finetune"};
    add(finetune_, method.finetune);
    add(finetune_, {"--seed", text(seed), "--output", model, "--json"});
  }
  evaluate_ = {"evaluate", "--model", model};
  add(evaluate_, plan.evaluate);
  evaluate_.push_back("--json");
}

OrderedJson ExperimentCell::commands() const {
  OrderedJson list = OrderedJson::array();
  for (const auto* arguments : {&finetune_, &evaluate_}) {
    if (arguments->empty()) continue;
    std::string line = "greentrainer";
    for (const std::string& argument : *arguments) line += " " + shell_word(argument);
    list.push_back(line);
  }
  return list;
}

bool ExperimentCell::is_done() const {
  std::vector<const char*> names = {"commands.json", "evaluate.json"};
  if (method_->trains) names.insert(names.end(), {"finetune.json", "metrics.jsonl"});
  for (const char* name : names) {  // a folder of results appears whole: one that lacks some was damaged
    if (!std::filesystem::exists(folder_ / name)) return false;
  }
  if (read_json_file<OrderedJson>(folder_ / "commands.json") == commands()) return true;
  throw ConfigError("experiment", folder_.string(),
                    text("expected results of the commands that the file asks for now, got those of others; ",
                         "remove the folder to run it again, or choose another output"));
}

bool ExperimentCell::run_command(const std::vector<std::string>& arguments, const std::filesystem::path& out) const {
  std::vector<std::string> all = {"greentrainer"};
  add(all, arguments);
  if (arguments.front() == "finetune") add(all, {"--save-every", "none"});  // a cell that is stopped is run anew
  std::vector<char*> argv;
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::filesystem::path log = out;
  log.replace_extension(".log");
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process == 0) become(argv.data(), parent, out.c_str(), log.c_str());
  if (process < 0)
    throw Error("experiment", method_->name,
                text("expected to start ", arguments.front(), ", got \"", greentrainer::detail::errno_text(), '"'));
  int status = 0;
  bool passed_on = false;
  for (pid_t ended = 0; ended == 0;) {
    ended = ::waitpid(process, &status, WNOHANG);
    if (ended < 0 && errno != EINTR) {
      throw Error(
          "experiment", method_->name,
          text("expected to wait for ", arguments.front(), ", got \"", std::generic_category().message(errno), "\""));
    }
    if (ended > 0) break;
    ended = 0;
    if (interrupted() && !passed_on) {  // Ctrl-C reaches the whole group; a signal to this process alone is passed on
      ::kill(process, SIGTERM);
      passed_on = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (interrupted()) return false;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  const std::string what =
      text(method_->name, ", seed ", seed_, ": expected ", arguments.front(), " to end well, got ");
  if (WIFSIGNALED(status)) {
    throw Error("experiment",
                text(what, "signal ", WTERMSIG(status), " (", ::strsignal(WTERMSIG(status)), ")",
                     WTERMSIG(status) == SIGKILL ? "; is memory short?" : "", "; its log is ", log.string()));
  }
  const std::string said = text(what, "exit status ", WEXITSTATUS(status), ": ", last_line(log));
  if (WEXITSTATUS(status) == 77) throw MissingDevice("experiment", said);
  if (WEXITSTATUS(status) == 2) throw UsageError("experiment", said);
  throw Error("experiment", said);
}

bool ExperimentCell::run() const {
  make_room(temporary_);
  std::error_code error;
  std::filesystem::create_directories(temporary_, error);
  if (error)
    throw SaveError("experiment", temporary_.string(),
                    text("expected to create a folder, got \"", error.message(), '"'));
  FolderManifest{}.write(temporary_);
  const std::filesystem::path model = temporary_ / "model";
  if (!finetune_.empty()) {
    if (!run_command(finetune_, temporary_ / "finetune.json")) return false;
    atomic_write_file(temporary_ / "metrics.jsonl", read_file(model / "metrics.jsonl", largest_report));
  }
  if (!run_command(evaluate_, temporary_ / "evaluate.json")) return false;
  if (!keep_model_) std::filesystem::remove_all(model, error);
  atomic_write_file(temporary_ / "commands.json", commands().dump(2) + "\n");
  greentrainer::detail::sync_tree(temporary_);
  FolderManifest::of(temporary_).write(temporary_);
  make_room(folder_);
  std::filesystem::rename(temporary_, folder_, error);
  if (error)
    throw SaveError("experiment", folder_.string(),
                    text("expected to put the results there, got \"", error.message(), '"'));
  greentrainer::detail::sync_folder(folder_.parent_path());
  return true;
}

OrderedJson ExperimentCell::read() const {
  OrderedJson cell = {{"method", method_->name},
                      {"seed", method_->trains ? OrderedJson(seed_) : OrderedJson()},
                      {"commands", read_json_file<OrderedJson>(folder_ / "commands.json")}};
  if (method_->trains) {
    cell["finetune"] = read_json_file<OrderedJson>(folder_ / "finetune.json", largest_report);
    cell["steps"] = OrderedJson::array();
    std::istringstream lines(read_file(folder_ / "metrics.jsonl", largest_report));
    for (std::string line; std::getline(lines, line);) {
      OrderedJson event = parse_json<OrderedJson>(line, (folder_ / "metrics.jsonl").string());
      if (event.value("event", "") == "step") cell["steps"].push_back(std::move(event));
    }
  }
  cell["evaluate"] = read_json_file<OrderedJson>(folder_ / "evaluate.json", largest_report);
  return cell;
}

std::vector<ExperimentCell> experiment_cells(const ExperimentPlan& plan) {
  std::vector<ExperimentCell> cells;
  for (const std::int64_t seed : plan.seeds) {  // seed by seed: a table with few seeds is there early
    for (const ExperimentMethod& method : plan.methods) {
      if (method.trains || seed == plan.seeds.front()) cells.emplace_back(plan, method, seed);
    }
  }
  for (std::size_t i = 0; i < cells.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (cells[i].folder() != cells[j].folder()) continue;
      throw UsageError("experiment", text("[[method]] ", cells[i].method().name),
                       text("expected results in a folder of its own, got ", cells[i].folder().filename().string(),
                            " as of ", cells[j].method().name, "; choose another name"));
    }
  }
  return cells;
}

}  // namespace greentrainer::program
