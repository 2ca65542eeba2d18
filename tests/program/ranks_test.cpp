// greentrainer finetune on several ranks, started by mpirun: one output, one message, one exit status, and the losses
// of one rank alone. Skipped where mpirun is missing or the program was built without MPI.

#include <chrono>
#include <cmath>
#include <stdexcept>

#include <doctest/doctest.h>

#include "greentrainer/io/safetensors.hpp"
#include "program/run_program.hpp"
#include "support/skip.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

std::vector<std::string> launcher(int ranks) {
  return {"mpirun", "-np", std::to_string(ranks), "--oversubscribe", "--allow-run-as-root", "--bind-to", "none"};
}

/// Of several ranks; the launcher adds lines of its own to stderr where a rank fails.
Outcome run_on(int ranks, std::vector<std::string> arguments) {
  return Program(std::move(arguments), "/dev/null", launcher(ranks)).wait();
}

/// Why these tests cannot run here; empty if they can.
std::string obstacle() {
  try {
    const Outcome outcome = run_on(2, {"finetune", "--help"});
    if (outcome.status == 0) return "";
    return has(outcome.err, "built with MPI") ? "the program was built without MPI" : "mpirun fails: " + outcome.err;
  } catch (const std::exception&) {
    return "mpirun is not there";
  }
}

struct Run {
  TemporaryFolder folder;
  std::string data = folder.write("train.jsonl", golden_rows("llama-gqa-tied")).string();

  std::vector<std::string> arguments(const std::string& output, std::vector<std::string> more) const {
    more.insert(more.begin(),
                {"finetune", "--json", "--model", golden_model("llama-gqa-tied"), "--train", data, "--batch-size", "2",
                 "--gradient-accumulation", "2", "--learning-rate", "0.001", "--output", (folder / output).string()});
    return more;
  }
};

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// The process of a rank that this launcher has started; -1 if it is not there yet.
pid_t process_of_rank(pid_t launcher, int rank) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    const std::string stat = contents(entry.path() / "stat");
    const auto after_name = stat.rfind(") ");
    if (after_name == std::string::npos) continue;
    const pid_t parent = std::atoi(stat.c_str() + after_name + 4);
    if (parent == launcher &&
        has(contents(entry.path() / "environ"), "OMPI_COMM_WORLD_RANK=" + std::to_string(rank) + '\0'))
      return std::atoi(name.c_str());
  }
  return -1;
}

}  // namespace

TEST_CASE("two and three ranks end with the loss of one alone, say everything once, and send what plan says") {
  if (const std::string why = obstacle(); !why.empty()) GREENTRAINER_SKIP(why);
  const Run run;
  const std::vector<std::string> options = {"--method", "listed", "--tensors", "*.layers.1.*", "--epochs", "3"};
  const Outcome alone = run_program(run.arguments("alone", options));
  REQUIRE(alone.status == 0);
  CHECK(alone.json()["ranks"]["count"] == 1);
  for (const int ranks : {2, 3}) {
    CAPTURE(ranks);
    const Outcome outcome = run_on(ranks, run.arguments(text("on_", ranks), options));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    const Json report = outcome.json();  // one object alone
    for (const char* loss : {"loss_before", "loss_after"}) {
      const double expected = alone.json()[loss].get<double>();
      CHECK(std::abs(report[loss].get<double>() - expected) <= 1e-6 * expected);
    }
    for (const char* same : {"steps", "tokens", "labelled_tokens", "flops", "ratio"})
      CHECK(report[same] == alone.json()[same]);
    CHECK(count(outcome.err, "memory of training") == 1);
    CHECK(std::filesystem::exists(run.folder / text("on_", ranks) / "model.safetensors"));

    const Json plan = run_program({"plan", "--json", "--model", golden_model("llama-gqa-tied"), "--tensors",
                                   "*.layers.1.*", "--ranks", std::to_string(ranks)})
                          .json();
    CHECK(report["ranks"]["count"] == ranks);
    CHECK(plan["ranks"]["sent_gradient_bytes"].get<Bytes>() > 0);
    CHECK(report["ranks"]["sent_bytes"]["gradients"].get<Bytes>() ==
          report["steps"].get<Extent>() * plan["ranks"]["sent_gradient_bytes"].get<Bytes>());
    CHECK(report["ranks"]["sent_bytes"]["importance"] == 0);
  }
}

TEST_CASE("green and LoRA train on ranks, and LoRA's adapter is written once") {
  if (const std::string why = obstacle(); !why.empty()) GREENTRAINER_SKIP(why);
  const Run run;
  const Outcome green = run_on(2, run.arguments("green", {"--rho", "0.6", "--reselect-every", "2s", "--steps", "5"}));
  CAPTURE(green.err);
  REQUIRE(green.status == 0);
  CHECK(green.json()["selections"].size() == 3);
  CHECK(green.json()["ratio"].get<double>() <= 0.6);
  const Outcome lora = run_on(2, run.arguments("lora", {"--method", "lora", "--lora-dropout", "0", "--adapter-output",
                                                        "peft", "--steps", "3"}));
  CAPTURE(lora.err);
  REQUIRE(lora.status == 0);
  CHECK(std::filesystem::exists(run.folder / "lora" / "adapter_config.json"));
}

TEST_CASE("exact sums give the files of one rank alone, with dropout, too, and send what plan says") {
  if (const std::string why = obstacle(); !why.empty()) GREENTRAINER_SKIP(why);
  const Run run;
  const auto weights = [&](int ranks, std::vector<std::string> options) {
    const std::string output = text("exact_", ranks);
    options.insert(options.end(), {"--gradient-sums", "exact", "--steps", "4", "--overwrite"});
    const Outcome outcome = run_on(ranks, run.arguments(output, options));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return std::pair(contents(run.folder / output / "model.safetensors"), outcome.json());
  };
  const std::vector<std::string> listed = {"--method", "listed", "--tensors", "*.layers.1.*"};
  const std::vector<std::vector<std::string>> all = {
      listed, {"--rho", "0.6", "--reselect-every", "2s"}, {"--method", "lora"}};
  for (const auto& options : all) {
    CAPTURE(options[1]);
    const auto [alone, unused] = weights(1, options);
    for (const int ranks : {2, 3}) CHECK(weights(ranks, options).first == alone);
  }
  const Json plan = run_program({"plan", "--json", "--model", golden_model("llama-gqa-tied"), "--tensors",
                                 "*.layers.1.*", "--ranks", "2", "--gradient-sums", "exact"})
                        .json();
  CHECK(weights(2, listed).second["ranks"]["sent_bytes"]["gradients"].get<Bytes>() ==
        4 * plan["ranks"]["sent_gradient_bytes"].get<Bytes>());
}

TEST_CASE("what ranks cannot do is said once, with one exit status, and nothing is written") {
  if (const std::string why = obstacle(); !why.empty()) GREENTRAINER_SKIP(why);
  const Run run;
  const auto refused = [&](std::vector<std::string> options, int status, const std::string& part) {
    CAPTURE(part);
    const Outcome outcome = run_on(2, run.arguments("refused", std::move(options)));
    CAPTURE(outcome.err);
    CHECK(outcome.status == status);
    CHECK(count(outcome.err, part) == 1);
    CHECK(outcome.out == "");
    CHECK_FALSE(std::filesystem::exists(run.folder / "refused"));
  };
  refused({"--method", "last:1", "--prefix-cache", "memory"}, 1, "--prefix-cache: expected none with several ranks");
  refused({"--budget", "0.5x"}, 1, "--budget: expected none with several ranks");
  refused({"--method", "lora"}, 1, "dropout: expected none with several ranks");
  refused({"--rho", "2"}, 2, "--rho");
  refused({"--rank-timeout", "soon"}, 2, "--rank-timeout: expected a time such as 60s");
  refused({"--gradient-sums", "exact", "--memory-limit", "1GiB"}, 2, "--memory-limit");
  refused({"--validation", "-"}, 2, "--validation: expected a file with several ranks");
  const Outcome evaluated = run_on(2, {"evaluate", "--model", golden_model("llama-gqa-tied"), "--data", run.data});
  CHECK(evaluated.status == 2);
  CHECK(count(evaluated.err, "expected one, as for all commands but finetune, got 2") == 1);
}

TEST_CASE("ranks of different runs end with one message that names what differs and which rank") {
  if (const std::string why = obstacle(); !why.empty()) GREENTRAINER_SKIP(why);
  const Run run;
  std::vector<std::string> arguments = run.arguments("mixed", {"--method", "full", "--seed", "1"});
  for (const char* one : {":", "-np", "1"}) arguments.push_back(one);
  arguments.push_back(program_path().string());
  for (const std::string& one : run.arguments("mixed", {"--method", "full", "--seed", "2"})) arguments.push_back(one);
  const Outcome outcome = run_on(1, arguments);
  CAPTURE(outcome.err);
  CHECK(outcome.status == 1);
  CHECK(count(outcome.err, "seed: expected 1 as on rank 0, got 2 on rank 1") == 1);
  CHECK_FALSE(std::filesystem::exists(run.folder / "mixed"));
}

namespace {

/// A run on ranks that goes on until it is ended.
struct LongRun {
  LongRun(const Run& run, int ranks, const std::string& timeout = "10min")
      : program(run.arguments("long", {"--method", "full", "--steps", "1000000", "--rank-timeout", timeout}),
                "/dev/null", launcher(ranks)) {}

  /// Sends a signal to a rank that has begun to train; returns how the run has ended, which must be soon.
  Outcome end_by(int rank, int number) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const auto trains = [&] {
      const std::string said = program.error_so_far();
      return has(said, "memory of training") || has(said, "going on after step");
    };
    while (!trains() && Clock::now() - start < std::chrono::seconds(120))
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const pid_t process = process_of_rank(program.process(), rank);
    if (process <= 0) {
      program.signal(SIGKILL);
      program.wait();
      throw std::runtime_error("expected a process of the rank, found none");
    }
    const auto sent = Clock::now();
    ::kill(process, number);
    Outcome outcome = program.wait();
    CHECK(Clock::now() - sent < std::chrono::seconds(30));
    return outcome;
  }

  Program program;
};

}  // namespace

TEST_CASE("a rank that is killed ends the others within seconds, and one that is asked to stop stops and saves all") {
  if (const std::string why = obstacle(); !why.empty()) GREENTRAINER_SKIP(why);
  const Run run;
  const Outcome killed = LongRun(run, 2).end_by(1, SIGKILL);
  CAPTURE(killed.err);
  CHECK(killed.status == 128 + SIGKILL);
  CHECK_FALSE(std::filesystem::exists(run.folder / "long"));

  const Outcome stopped = LongRun(run, 2).end_by(1, SIGTERM);
  CAPTURE(stopped.err);
  CHECK(stopped.status == 130);
  CHECK(count(stopped.err, "stopped by a signal after step") == 1);
  CHECK(count(stopped.err, "where the same command goes on") == 1);
  CHECK_FALSE(std::filesystem::exists(run.folder / "long"));

  const Outcome gone_on = LongRun(run, 3).end_by(2, SIGTERM);
  CAPTURE(gone_on.err);
  CHECK(gone_on.status == 130);
  CHECK(count(gone_on.err, "going on after step") == 1);
}

TEST_CASE("a rank that hangs ends the run on all ranks after the timeout, with one message that names it") {
  if (const std::string why = obstacle(); !why.empty()) GREENTRAINER_SKIP(why);
  const Run run;
  for (const int hangs : {0, 1}) {
    CAPTURE(hangs);
    const Outcome outcome = LongRun(run, 3, "2s").end_by(hangs, SIGSTOP);
    CAPTURE(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(count(outcome.err, text("rank ", hangs, ": expected to take part in what rank ")) == 1);
    CHECK_FALSE(std::filesystem::exists(run.folder / "long"));
  }
}
