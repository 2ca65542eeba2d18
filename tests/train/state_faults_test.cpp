// Whatever call of the system fails while a run is saved, the state before or the new one is there, whole; who saves is
// told what failed; the run and the next save are none the worse.

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/fault_injection.hpp"
#include "support/skip.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

using B = EigenBackend<float>;

struct Session {
  explicit Session(Extent steps) : model(tiny_model(backend, "opt-pre")) {
    trainer.emplace(model, select_biases(model.graph()), AdamWOptions{.learning_rate = 1e-2});
    trainer->start(examples, {.steps = 4,
                              .batch_size = 4,
                              .validation = examples,
                              .evaluate = Evaluations::none,
                              .evaluate_every = Interval{1, Interval::Unit::steps},
                              .keep_best = RunMetric{}});
    for (Extent step = 0; step < steps; ++step) trainer->step();
  }

  B backend{1};
  Model<B> model;
  std::vector<Example> examples = counting_examples(8);
  std::optional<Trainer<B>> trainer;
};

/// Steps of the state in a folder; throws LoadError for a damaged one.
Extent steps_in(const std::filesystem::path& folder) { return StateFolder::read(folder).state.next_step; }

struct Fault {
  SystemCall call;
  int error;
  bool is_harmless = false;  ///< the call is made again, or the rest of it
};

constexpr std::array<Fault, 17> faults = {{{SystemCall::write, ENOSPC},
                                           {SystemCall::write, EIO},
                                           {SystemCall::write, EINTR, true},
                                           {SystemCall::write, FaultInjection::short_write, true},
                                           {SystemCall::fsync, EIO},
                                           {SystemCall::fsync, ENOSPC},
                                           {SystemCall::fsync, EINTR},
                                           {SystemCall::rename, ENOSPC},
                                           {SystemCall::rename, EIO},
                                           {SystemCall::open, ENOSPC},
                                           {SystemCall::open, EIO},
                                           {SystemCall::open, EMFILE},
                                           {SystemCall::open, EINTR},
                                           {SystemCall::mkdir, ENOSPC},
                                           {SystemCall::mkdir, EIO},
                                           {SystemCall::mmap, ENOMEM},
                                           {SystemCall::malloc, ENOMEM}}};

/// What came of a save in which a call failed.
enum class Outcome { saved, refused, refused_without_words, none_so_many };

/// Saves over an older state, in a process of its own, with the call number `number` failing.
Outcome save_with(const Fault& fault, long number, Trainer<B>& trainer, const std::filesystem::path& folder,
                  std::string& message) {
  int words[2];
  REQUIRE(::pipe(words) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    Outcome outcome = Outcome::saved;
    std::string what;
    FaultInjection::arm(fault.call, fault.error, number);
    try {
      trainer.save(folder);
    } catch (const std::exception& error) {
      FaultInjection::disarm();
      what = error.what();
      outcome = Outcome::refused;
    }
    if (outcome == Outcome::saved && !FaultInjection::disarm()) outcome = Outcome::none_so_many;
    if (::write(words[1], what.data(), what.size()) < 0) ::_exit(99);
    ::_exit(static_cast<int>(outcome));
  }
  ::close(words[1]);
  message.clear();
  std::array<char, 512> buffer{};
  for (ssize_t got = 0; (got = ::read(words[0], buffer.data(), buffer.size())) > 0;)
    message.append(buffer.data(), static_cast<std::size_t>(got));
  ::close(words[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status)) return Outcome::refused_without_words;
  return static_cast<Outcome>(WEXITSTATUS(status));
}

}  // namespace

TEST_CASE("a save in which any call fails once leaves a whole state, says what failed, and the next one succeeds") {
  if (!FaultInjection::is_there()) GREENTRAINER_SKIP("the library of tests/fault_injection is not preloaded");
  Session older(1), newer(2);
  int injected = 0;
  for (const Fault& fault : faults) {
    CAPTURE(static_cast<int>(fault.call));
    CAPTURE(fault.error);
    int refused = 0, saved = 0;
    for (long number = 0;; ++number) {
      CAPTURE(number);
      const TemporaryFolder folder;
      const auto state = folder / "state";
      older.trainer->save(state);
      std::string message;
      const Outcome outcome = save_with(fault, number, *newer.trainer, state, message);
      if (outcome == Outcome::none_so_many) break;
      CAPTURE(message);
      CHECK(outcome != Outcome::refused_without_words);
      ++injected;
      ++(outcome == Outcome::saved ? saved : refused);
      if (fault.is_harmless) CHECK(outcome == Outcome::saved);
      if (outcome == Outcome::refused && fault.call != SystemCall::malloc) CHECK(has(message, "expected "));
      const Extent steps = steps_in(state);
      CHECK((steps == 2 || (steps == 1 && outcome != Outcome::saved)));
      // What it has left is settled without a step back, before anything new is written.
      { const OutputFolder settled(state); }
      CHECK(steps_in(state) >= steps);
      newer.trainer->save(state);
      CHECK(steps_in(state) == 2);
      CHECK(folder.entries() == 1);
    }
    MESSAGE("call ", static_cast<int>(fault.call), ", error ", fault.error, ": ", saved, " saved, ", refused,
            " refused");
    if (fault.call != SystemCall::mmap) CHECK(saved + refused > 2);  // a save maps no memory
    if (!fault.is_harmless && fault.call != SystemCall::mmap) CHECK(refused > 0);
  }
  CHECK(injected > 500);
}

TEST_CASE("a run in whose saves calls fail is the run in which none does") {
  if (!FaultInjection::is_there()) GREENTRAINER_SKIP("the library of tests/fault_injection is not preloaded");
  const TemporaryFolder folder;
  Session calm(0), troubled(0);
  calm.trainer->fit(calm.examples, {.steps = 4, .batch_size = 4, .evaluate = Evaluations::none});
  troubled.trainer->start(troubled.examples, {.steps = 4, .batch_size = 4, .evaluate = Evaluations::none});
  int refused = 0;
  for (long number = 0; troubled.trainer->step(); number += 3) {
    for (const SystemCall call : {SystemCall::write, SystemCall::fsync, SystemCall::open, SystemCall::malloc}) {
      FaultInjection::arm(call, call == SystemCall::malloc ? ENOMEM : EIO, number);
      try {
        troubled.trainer->save(folder / "state");
      } catch (const std::exception&) {
        ++refused;
      }
      FaultInjection::disarm();
    }
  }
  troubled.trainer->finish();
  CHECK(refused >= 8);
  CHECK(weights_of(troubled.model) == weights_of(calm.model));
}
