// finetune goes on where it was stopped: by a signal, by a kill, in the middle of a save; with the bytes of a run that
// nothing has stopped.

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/safetensors.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// The bytes of a folder's files but for times.
std::map<std::string, std::string> files_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name == "greentrainer-files.json") continue;  // hashes, of the times, too
    static const std::regex times("\"(seconds|tokens_per_second|joules)\":[^,]*,");
    files[name] =
        name == "metrics.jsonl" ? std::regex_replace(contents(entry.path()), times, "") : contents(entry.path());
  }
  return files;
}

struct Run {
  TemporaryFolder folder;
  std::string data = folder.write("train.jsonl", golden_rows("opt-pre")).string();
  std::string output = (folder / "tuned").string();
  std::vector<std::string> more;

  explicit Run(std::vector<std::string> options) : more(std::move(options)) {}

  std::vector<std::string> arguments(std::vector<std::string> also = {}) const {
    std::vector<std::string> all = {"finetune", "--json", "--model",         golden_model("opt-pre"),
                                    "--train",  data,     "--batch-size",    "2",
                                    "--output", output,   "--learning-rate", "0.003"};
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), also.begin(), also.end());
    return all;
  }
  Outcome go(std::vector<std::string> also = {}) const { return run_program(arguments(std::move(also))); }
  std::filesystem::path states() const { return output + ".states"; }
  std::vector<std::string> saved() const {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(states(), error))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  /// Ends the program with a signal once it has made so many steps.
  Outcome interrupt(int number, std::vector<std::string> also, const std::function<bool(const Program&)>& when) const {
    Program program(arguments(std::move(also)));
    for (int i = 0; i < 3000 && !when(program); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    program.signal(number);
    return program.wait();
  }
};

bool has_begun(const Program& program) { return has(program.error_so_far(), "step 1/"); }

}  // namespace

TEST_CASE("a run that a signal ends is saved, and the same command makes it the run that was never stopped") {
  const std::vector<std::string> options = {"--rho", "0.6", "--steps", "1500", "--reselect-every", "40s"};
  const Run whole(options);
  REQUIRE(whole.go().status == 0);
  const auto expected = files_of(whole.output);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    CAPTURE(number);
    const Run run(options);
    const auto stopped = run.interrupt(number, {}, has_begun);
    CAPTURE(stopped.err);
    REQUIRE(stopped.status == 130);
    CHECK(stopped.out == "");
    CHECK(has(stopped.err, "the same command goes on"));
    CHECK_FALSE(std::filesystem::exists(run.output));
    REQUIRE(run.saved().size() == 1);
    const auto rest = run.go({"--threads", "2"});
    CAPTURE(rest.err);
    REQUIRE(rest.status == 0);
    CHECK(has(rest.err, "going on after step"));
    CHECK(files_of(run.output) == expected);
    CHECK(rest.json()["steps"] == 1500);
    CHECK(run.folder.entries() == 2);  // no state is left
  }
}

TEST_CASE("states are saved as often as asked for, the newest are kept, and none is left") {
  const Run run({"--method", "full", "--steps", "1000000", "--evaluate", "none"});
  const auto killed = run.interrupt(SIGKILL, {"--save-every", "3", "--keep", "3"},
                                    [&](const Program&) { return std::filesystem::exists(run.states() / "step-15"); });
  CHECK(killed.status == 128 + SIGKILL);
  std::vector<Extent> steps;
  for (const std::string& name : run.saved()) {
    if (name.starts_with("step-")) steps.push_back(std::stoll(name.substr(5)));
  }
  CHECK(steps.size() >= 3);
  CHECK(steps.size() <= 4);  // one may have been about to go
  for (const Extent step : steps) CHECK(step % 3 == 0);
}

TEST_CASE("a state of other options or data is refused by name, until the run is asked to start anew") {
  const Run run({"--method", "full", "--evaluate", "none"});
  REQUIRE(run.interrupt(SIGINT, {"--steps", "1000000"}, has_begun).status == 130);
  const auto refused = [&](std::vector<std::string> options, const char* why) {
    const auto outcome = run.go(std::move(options));
    CAPTURE(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(has(outcome.err, why));
    CHECK(has(outcome.err, "--resume never"));
    CHECK_FALSE(std::filesystem::exists(run.output));
    CHECK(run.saved().size() == 1);
  };
  refused({"--steps", "20"}, "--steps: expected 1000000, which the run saved in ");
  refused({"--steps", "1000000", "--seed", "4"}, "--seed: expected 0, ");
  refused({"--steps", "1000000", "--dropout", "0.1"}, "--dropout: expected 0, ");
  run.folder.write("train.jsonl", golden_rows("opt-pre") + golden_rows("opt-pre"));
  refused({"--steps", "1000000"}, "--train: expected ");
  CHECK(run.go({"--steps", "4", "--resume", "never"}).status == 0);
  CHECK(run.folder.entries() == 2);
}

TEST_CASE("a state can be named; a damaged one is set aside for the one before") {
  const std::vector<std::string> options = {"--method", "full", "--steps", "400", "--save-every", "20"};
  const Run whole(options);
  REQUIRE(whole.go().status == 0);
  const auto expected = files_of(whole.output);
  const Run run(options);
  REQUIRE(run.interrupt(SIGKILL, {}, [&](const Program&) { return std::filesystem::exists(run.states() / "step-60"); })
              .status == 128 + SIGKILL);
  std::filesystem::path newest, before;
  Extent most = 0;
  for (const std::string& name : run.saved()) {
    if (!name.starts_with("step-")) continue;
    if (const Extent step = std::stoll(name.substr(5)); step > most) {
      most = step;
      newest = run.states() / name;
    }
  }
  before = run.states() / ("step-" + std::to_string(most - 20));
  REQUIRE(std::filesystem::exists(before));
  std::filesystem::copy(before, run.folder / "copy", std::filesystem::copy_options::recursive);

  std::string weights = contents(newest / "weights.safetensors");
  weights[weights.size() / 2] = static_cast<char>(weights[weights.size() / 2] ^ 16);
  run.folder.write("tuned.states/" + newest.filename().string() + "/weights.safetensors", weights);
  const auto named = run.go({"--resume", newest.string()});
  CHECK(named.status == 1);
  CHECK(has(named.err, "the state is damaged"));
  const auto rest = run.go();
  CAPTURE(rest.err);
  REQUIRE(rest.status == 0);
  CHECK(has(rest.err, "it is now " + newest.string() + ".damaged-1"));
  CHECK(has(rest.err, "going on after step " + std::to_string(most - 20) + ", from "));
  CHECK(files_of(run.output) == expected);
  CHECK(run.saved() == std::vector<std::string>{newest.filename().string() + ".damaged-1"});

  const auto again = run.go({"--resume", (run.folder / "copy").string()});
  REQUIRE(again.status == 0);
  CHECK(files_of(run.output) == expected);
  CHECK(std::filesystem::exists(run.folder / "copy"));
  CHECK(has(run.go({"--resume", "nowhere"}).err, "nowhere: expected a saved training state"));
}

TEST_CASE("killed at any time, in the middle of a save, too, a run ends as the one that nothing has stopped") {
  const std::vector<std::string> options = {
      "--rho",        "0.6", "--steps",          "60", "--reselect-every", "10s",
      "--save-every", "2",   "--evaluate-every", "3s", "--keep-best",      "loss"};
  Run whole(options);
  whole.more.insert(whole.more.end(), {"--validation", whole.data});
  REQUIRE(whole.go().status == 0);
  const auto expected = files_of(whole.output);
  Run run(options);
  run.more.insert(run.more.end(), {"--validation", run.data});
  int kills = 0;
  for (int milliseconds = 40;; milliseconds += 29, ++kills) {
    Program program(run.arguments());
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    program.signal(SIGKILL);
    const auto outcome = program.wait();
    CAPTURE(outcome.err);
    CHECK((outcome.status == 0 || outcome.status == 128 + SIGKILL));
    if (outcome.status == 0 || kills > 60) break;
  }
  CAPTURE(kills);
  CHECK(files_of(run.output) == expected);
  CHECK(run.folder.entries() == 2);
}

TEST_CASE("how often to save, and with what to go on, are refused where they are none") {
  const Run run({});
  for (const char* value : {"", "0", "-1", "5x", "1.5e", "min", "99999999999999999999s"}) {
    const auto outcome = run.go({"--save-every", value});
    CHECK(outcome.status == 2);
    CHECK(has(outcome.err, "--save-every: expected steps such as 500"));
  }
  CHECK(run.go({"--save-every", "none", "--keep", "3"}).status == 2);
}
