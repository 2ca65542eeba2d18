// Saves of a run's state in which one call to the system fails: a full disk, an error of input and output, a signal.
// A preloaded library makes it fail (fail_calls.cpp); benchmarks/fault_injection.py goes through all calls, this test
// through a sample of them.

#include <cstdlib>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/folder_manifest.hpp"
#include "program/run_program.hpp"
#include "support/skip.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// The library; "" where none is built.
std::string fail_calls_library() {
#ifdef GREENTRAINER_FAIL_CALLS
  return GREENTRAINER_FAIL_CALLS;
#else
  return "";
#endif
}

constexpr const char* no_library = "calls can be made to fail on Linux alone, and without sanitizers";

/// Variables of the environment, for the programs started while it lives.
class Environment {
 public:
  explicit Environment(std::vector<std::pair<std::string, std::string>> variables) : variables_(std::move(variables)) {
    for (const auto& [name, value] : variables_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    for (const auto& [name, value] : variables_) ::unsetenv(name.c_str());
  }

 private:
  std::vector<std::pair<std::string, std::string>> variables_;
};

/// A call on a file of the run's saved states, by its number.
struct Call {
  std::string number, name, path;
};

/// One command, in a folder of its own.
struct Run {
  TemporaryFolder folder;
  std::string output = (folder / "tuned").string();

  Outcome go() const {
    const std::string data = source_path("examples/data/scitldr/train.jsonl").string();
    std::vector<std::string> all = {"finetune", "--model", source_path("examples/data/stories260k").string()};
    for (const char* more :
         {"--train-rows",    "4",    "--steps",  "3",    "--batch-size", "2",    "--max-tokens", "64",
          "--learning-rate", "1e-4", "--method", "full", "--evaluate",   "none", "--threads",    "1",
          "--save-every",    "1",    "--keep",   "1"})
      all.emplace_back(more);
    all.insert(all.end(), {"--train", data, "--output", output});
    return run_program(all);
  }

  /// Preloads the library, whose calls below the folder of states count.
  Outcome go_with(std::vector<std::pair<std::string, std::string>> faults) const {
    faults.insert(faults.end(), {{"LD_PRELOAD", fail_calls_library()},
                                 {"FAIL_CALLS_BELOW", std::filesystem::canonical(folder.path()) / "tuned.states"},
                                 {"FAIL_CALLS_LOG", folder.path().string() + ".log"}});
    std::filesystem::remove(folder.path().string() + ".log");
    const Environment during(std::move(faults));
    return go();
  }

  /// Calls that the last run made; `failed`: only those that failed.
  std::vector<Call> calls(bool failed = false) const {
    std::istringstream lines(contents(folder.path().string() + ".log"));
    std::vector<Call> all;
    for (std::string line; std::getline(lines, line);) {
      Call call;
      std::string mark;
      std::istringstream(line) >> call.number >> call.name >> call.path >> mark;
      if (!failed || mark == "failed" || call.path == "failed") all.push_back(call);
    }
    return all;
  }

  ~Run() {
    std::error_code ignored;
    std::filesystem::remove(folder.path().string() + ".log", ignored);
  }

  std::map<std::string, std::string> result() const {
    std::map<std::string, std::string> files;
    static const std::regex times("\"(seconds|tokens_per_second|joules)\":[^,]*,");
    for (const auto& entry : std::filesystem::directory_iterator(output)) {
      const std::string name = entry.path().filename().string();
      if (name == FolderManifest::file_name) continue;  // hashes, of times, too
      files[name] = std::regex_replace(contents(entry.path()), times, "");
    }
    return files;
  }
};

/// The name of a file that is written under another one first.
std::string plain(const std::filesystem::path& path) {
  return std::regex_replace(path.filename().string(), std::regex("^\\.(.*)\\.(tmp|old)-\\d+-\\d+$"), "$1");
}

/// Whatever happened, each state that is there is whole; the same command then ends with the undisturbed run's bytes
/// and leaves nothing else, unless there was no memory to tidy up with.
void check_goes_on(const Run& run, const Outcome& disturbed, const std::map<std::string, std::string>& expected,
                   bool may_leave = false) {
  std::error_code none;
  for (const auto& state : std::filesystem::directory_iterator(run.output + ".states", none)) {
    if (!state.path().filename().string().starts_with("step-")) continue;
    const auto manifest = FolderManifest::read(state.path());
    REQUIRE(manifest);
    CHECK(manifest->is_complete(state.path()));
  }
  if (disturbed.status != 0) {
    CHECK_FALSE(std::filesystem::exists(run.output));
    const Outcome rest = run.go();
    CAPTURE(rest.err);
    REQUIRE(rest.status == 0);
    CHECK_FALSE(has(rest.err, "damaged"));
  }
  CHECK(run.result() == expected);
  CHECK((run.folder.entries() == 1 || (may_leave && std::filesystem::exists(run.output + ".states"))));
}

/// The undisturbed run: its result, and a call of each kind on each file of its second save.
struct Undisturbed {
  std::map<std::string, std::string> result;
  std::vector<Call> calls;

  Undisturbed() {
    const Run run;
    const Outcome whole = run.go_with({});
    REQUIRE(whole.status == 0);
    result = run.result();
    std::set<std::string> seen;
    int saves = 0;
    for (Call& call : run.calls()) {
      saves += call.name == "mkdir" && has(call.path, "/.step-");
      if (saves == 2 && seen.insert(call.name + plain(call.path)).second) calls.push_back(std::move(call));
    }
    for (const char* name : {"open", "write", "fsync", "close", "rename", "mkdir", "read"}) {
      CAPTURE(name);
      REQUIRE(std::ranges::any_of(calls, [&](const Call& call) { return call.name == name; }));
    }
  }
};

/// Calls that a save does not depend on: of the lock's text, of removing an older state, of closing what was read, and
/// looks at what is there.
bool may_be_silent(const Call& call) {
  return call.name == "opendir" || call.name == "unlink" || call.name == "rmdir" || call.name == "close" ||
         has(call.path, ".output-lock") || has(call.path, ".going-") ||
         std::regex_search(call.path, std::regex("/step-\\d+(/greentrainer-files.json)?$"));
}

}  // namespace

TEST_CASE("a call of a save that fails is a warning with the file's name; the states that were there stay usable") {
  if (fail_calls_library().empty()) GREENTRAINER_SKIP(no_library);
  const Undisturbed whole;
  int told = 0, killed = 0;
  for (const Call& chosen : whole.calls) {
    if (may_be_silent(chosen)) continue;
    const bool full = told % 2 == 0 && chosen.name != "read", kill = (told + killed) % 3 == 2;
    const Run run;
    const Outcome outcome = run.go_with({{"FAIL_CALLS_AT", chosen.number},
                                         {"FAIL_CALLS_WITH", full ? "ENOSPC" : "EIO"},
                                         {"FAIL_CALLS_END", kill ? "20" : "0"}});
    const auto failed = run.calls(true);
    REQUIRE(failed.size() == 1);
    CAPTURE(failed[0].name);
    CAPTURE(failed[0].path);
    CAPTURE(outcome.err);
    if (kill) {  // in the save after this one: what goes on is the run that was saved before
      ++killed;
      CHECK(outcome.status == 128 + SIGKILL);
    } else {
      ++told;
      CHECK(outcome.status == 0);
      const std::size_t warning = outcome.err.find("warning: the run could not be saved: ");
      REQUIRE(warning != std::string::npos);
      const std::string line = outcome.err.substr(warning, outcome.err.find('\n', warning) - warning);
      CHECK(has(line, full ? "No space left on device" : "Input/output error"));
      const std::filesystem::path path = failed[0].path;
      CHECK((has(line, plain(path)) || has(line, plain(path.parent_path()))));
    }
    check_goes_on(run, outcome, whole.result);
  }
  CHECK(told > 10);
  CHECK(killed > 5);
}

TEST_CASE("calls of a save that a signal interrupts are made again, and writes that are cut short are gone on with") {
  if (fail_calls_library().empty()) GREENTRAINER_SKIP(no_library);
  const Undisturbed whole;
  std::map<std::string, int> tried;
  for (const Call& chosen : whole.calls) {
    const bool moves_bytes = chosen.name == "write" || chosen.name == "read" || chosen.name == "pread";
    if (!moves_bytes && chosen.name != "open" && chosen.name != "fsync" && chosen.name != "close") continue;
    const std::string fault =
        moves_bytes && tried[chosen.name + "short"] <= tried[chosen.name + "EINTR"] ? "short" : "EINTR";
    if (++tried[chosen.name + fault] > 3) continue;
    const Run run;
    const Outcome outcome = run.go_with({{"FAIL_CALLS_AT", chosen.number}, {"FAIL_CALLS_WITH", fault}});
    CAPTURE(chosen.name);
    CAPTURE(chosen.path);
    CAPTURE(outcome.err);
    REQUIRE(run.calls(true).size() == 1);
    CHECK(outcome.status == 0);
    CHECK_FALSE(has(outcome.err, "warning"));
    check_goes_on(run, outcome, whole.result);
  }
  for (const char* one : {"openEINTR", "fsyncEINTR", "closeEINTR", "writeEINTR", "writeshort", "readshort"}) {
    CAPTURE(one);
    CHECK(tried[one] > 0);
  }
}

TEST_CASE("a state that cannot be read ends the run with a word, is not taken for damaged, and is gone on from") {
  if (fail_calls_library().empty()) GREENTRAINER_SKIP(no_library);
  const Undisturbed whole;
  const auto kill_in_second_save = [&](const Run& run) {
    const std::string end = std::to_string(std::stol(whole.calls.front().number) + 10);
    REQUIRE(run.go_with({{"FAIL_CALLS_END", end}}).status == 128 + SIGKILL);
    REQUIRE(std::filesystem::exists(run.output + ".states/step-1"));
  };
  std::vector<Call> reads;
  {
    const Run run;
    kill_in_second_save(run);
    REQUIRE(run.go_with({}).status == 0);
    std::map<std::string, int> seen;
    for (const Call& call : run.calls()) {  // hashing, headers, tensors
      const std::string name = plain(call.path);
      const bool reads_state = has(call.path, "/step-1/") && name != FolderManifest::file_name &&
                               (call.name == "open" || call.name == "read" || call.name == "pread");
      if (reads_state && ++seen[call.name + name] % 3 == 1) reads.push_back(call);
    }
  }
  CHECK(reads.size() > 6);
  int in_the_middle = 0;
  for (const Call& chosen : reads) {
    const Run run;
    kill_in_second_save(run);
    const Outcome outcome = run.go_with({{"FAIL_CALLS_AT", chosen.number}, {"FAIL_CALLS_WITH", "EIO"}});
    CAPTURE(chosen.name);
    CAPTURE(chosen.path);
    CAPTURE(outcome.err);
    REQUIRE(run.calls(true).size() == 1);
    CHECK(outcome.status == 1);
    CHECK(has(outcome.err, "Input/output error"));
    CHECK(has(outcome.err, "the same command tries again"));
    CHECK(std::filesystem::exists(run.output + ".states/step-1"));
    in_the_middle += chosen.name == "pread";
    check_goes_on(run, outcome, whole.result);
  }
  CHECK(in_the_middle > 1);
}

TEST_CASE("without memory in a save, the process may end, but the states are whole") {
  if (fail_calls_library().empty()) GREENTRAINER_SKIP(no_library);
  const Undisturbed whole;
  int noticed = 0;
  for (const char* allocation : {"1", "7", "40", "150", "400", "900", "2000", "4000"}) {
    const Run run;
    const Outcome outcome =
        run.go_with({{"FAIL_CALLS_MALLOC", "1"}, {"FAIL_CALLS_AT", allocation}, {"FAIL_CALLS_WITH", "ENOMEM"}});
    CAPTURE(allocation);
    CAPTURE(outcome.err);
    CHECK((outcome.status == 0 || outcome.status == 1 || outcome.status == 128 + SIGABRT));
    noticed += outcome.status != 0 || has(outcome.err, "warning: the run could not be saved: ");
    check_goes_on(run, outcome, whole.result, true);
  }
  CHECK(noticed > 2);
}
