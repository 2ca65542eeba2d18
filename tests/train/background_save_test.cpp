// A run that is saved while it goes on: the bytes are those of a save that it waits for, what fails is told as then,
// and memory limits hold.

#include "greentrainer/train/background_save.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <future>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/file.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::TemporaryFolder;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

namespace {

using B = CountingBackend<EigenBackend<float>>;

constexpr Bytes any_room = std::numeric_limits<Bytes>::max();

using Make = std::function<Trainer<B>(Model<B>&)>;

Trainer<B> green(Model<B>& model) {
  return Trainer<B>(model, GreenOptions{.flops_ratio = 0.6, .reselect_every = {3, Interval::Unit::steps}},
                    AdamWOptions{.learning_rate = 1e-2});
}
Trainer<B> full(Model<B>& model) {
  return Trainer<B>(model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-2});
}

/// A run that chooses tensors again and evaluates on the way, and what it has in memory.
struct Session {
  static FitOptions options_of_run() {
    FitOptions options{.steps = 9, .batch_size = 2, .seed = 3};
    options.evaluate_every = Interval{2, Interval::Unit::steps};
    return options;
  }
  static FitOptions best_kept() {
    FitOptions options = options_of_run();
    options.keep_best = RunMetric{};
    return options;
  }

  explicit Session(FitOptions options = best_kept(), int threads = 1, const Make& make = green,
                   std::vector<Example> of = counting_examples(11))
      : backend(threads), model(tiny_model(backend, "llama-gqa-tied")), examples(std::move(of)), trainer(make(model)) {
    trainer.start(examples, options);
  }

  void step(int count) {
    for (int i = 0; i < count; ++i) REQUIRE(trainer.step());
  }

  B backend;
  Model<B> model;
  std::vector<Example> examples;
  Trainer<B> trainer;
};

/// The weights that a run ends with.
std::vector<std::vector<float>> end(Session& session) {
  while (session.trainer.step()) {
  }
  session.trainer.finish();
  return weights_of(session.model);
}

/// Writes states once it is told to.
class Gate {
 public:
  WriteState writer() {
    return [this](const std::filesystem::path& folder, StateToWrite run) {
      opened_.wait();
      StateFolder::write(folder, std::move(run));
    };
  }
  void open() { open_.set_value(); }

 private:
  std::promise<void> open_;
  std::shared_future<void> opened_ = open_.get_future().share();
};

/// The files of a state: tensors byte by byte, the rest without the time that the run had taken.
std::map<std::string, std::string> files_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const char* name : {StateFolder::weights_file, StateFolder::optimizer_file, StateFolder::best_file})
    files[name] = read_file(folder / name);
  Json json = read_json_file(folder / StateFolder::state_file);
  json["report"]["seconds_total"] = 0;
  json["report"]["seconds_callbacks"] = 0;
  files[StateFolder::state_file] = json.dump();
  return files;
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const SaveError& error) {
    return error.what();
  }
  FAIL("expected a SaveError");
  return {};
}

}  // namespace

TEST_CASE("a state that is written while the run goes on has the bytes of one that the run waits for") {
  for (const int steps : {0, 1, 4, 8}) {
    CAPTURE(steps);
    const TemporaryFolder folder;
    Session session;
    session.step(steps);
    session.trainer.save(folder / "waited");
    Gate gate;
    session.trainer.begin_save(folder / "beside", any_room, gate.writer());
    session.step(1);  // which changes weights, moments, and the report
    CHECK_FALSE(session.trainer.is_save_over());
    gate.open();
    CHECK(session.trainer.end_save() == folder / "beside");
    CHECK(files_of(folder / "beside") == files_of(folder / "waited"));
  }
}

TEST_CASE("steps, evaluations and choices are made while a save goes on, with the same numbers, for any threads") {
  Session plain;
  const auto expected = end(plain);
  for (const int threads : {1, 3}) {
    CAPTURE(threads);
    const TemporaryFolder folder;
    std::vector<std::filesystem::path> told;
    FitOptions options = Session::best_kept();
    options.on_save = [&](const std::filesystem::path& path) { told.push_back(path); };
    Session session(options, threads);
    session.step(1);
    Gate gate;
    session.trainer.begin_save(folder / "state", any_room, gate.writer());
    CHECK(session.trainer.report().memory.save_copy > 0);
    session.step(8);
    const TrainingReport report = session.trainer.finish();
    CHECK(session.trainer.steps_done() == 9);
    CHECK(report.selections.size() == 3);
    CHECK(report.evaluations.size() == 6);
    CHECK(session.trainer.is_saving());
    CHECK_FALSE(session.trainer.is_save_over());
    CHECK_FALSE(std::filesystem::exists(folder / "state"));
    CHECK(told.empty());
    gate.open();
    session.trainer.end_save();
    CHECK_FALSE(session.trainer.is_saving());
    CHECK(told == std::vector{folder / "state"});
    CHECK(weights_of(session.model) == expected);

    Session other;
    other.trainer.load(folder / "state");
    CHECK(other.trainer.steps_done() == 1);
    CHECK(end(other) == expected);
  }
}

TEST_CASE("a run that ends by an exception, or is destroyed, leaves the state that was being written") {
  const TemporaryFolder folder;
  FitOptions options = Session::options_of_run();
  Gate gate;
  options.on_step = [&](const StepRecord& record) {
    if (record.step == 2) throw DataError("test", "step", "expected one more");
  };
  std::thread later;
  {
    Session session(options);
    session.step(1);
    session.trainer.begin_save(folder / "state", any_room, gate.writer());
    CHECK_THROWS_AS(session.trainer.step(), DataError);
    later = std::thread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      gate.open();
    });
  }
  CHECK(StateFolder::read(folder / "state").state.next_step == 1);
  later.join();
}

TEST_CASE("a save that fails says at its end what it says to a run that waits; the state before stays") {
  const TemporaryFolder folder;
  const auto blocked = folder.write("file", "no folder") / "state";
  Session plain;
  const auto expected = end(plain);
  Session session;
  session.step(2);
  session.trainer.begin_save(folder / "state", any_room);
  session.trainer.end_save();
  const std::string waited = message_of([&] { session.trainer.save(blocked); });
  for (const Bytes room : {any_room, Bytes{0}}) {
    CAPTURE(room);
    session.trainer.begin_save(blocked, room);
    session.step(1);
    CHECK(message_of([&] { session.trainer.end_save(); }) == waited);
    CHECK_FALSE(session.trainer.is_saving());
  }
  const WriteState full = [](const std::filesystem::path& place, StateToWrite) {
    throw SaveError("AtomicFile", place.string(), "expected to write on, got \"No space left on device\"");
  };
  session.trainer.begin_save(folder / "state", any_room, full);
  session.step(1);
  CHECK(testing::has(message_of([&] { session.trainer.end_save(); }), "No space left on device"));
  CHECK(StateFolder::read(folder / "state").state.next_step == 2);
  CHECK(end(session) == expected);
}

TEST_CASE("what has no room for its copy is written before the run goes on") {
  const TemporaryFolder folder;
  Session session;
  session.step(4);
  Bytes copied = 0, most = 0;
  const WriteState count = [&](const std::filesystem::path&, StateToWrite run) { most = run.bytes(); };
  session.trainer.begin_save(folder / "none", any_room, count);
  session.trainer.end_save();
  copied = session.trainer.report().memory.save_copy;
  CHECK(copied == most);
  CHECK(copied > 0);
  std::thread::id by;
  const WriteState note = [&](const std::filesystem::path&, StateToWrite) { by = std::this_thread::get_id(); };
  for (const auto& [room, beside] : {std::pair{copied, true}, {copied - 1, false}, {Bytes{0}, false}}) {
    CAPTURE(room);
    session.trainer.begin_save(folder / "none", room, note);
    if (!beside) CHECK(session.trainer.is_save_over());
    session.trainer.end_save();
    CHECK((by != std::this_thread::get_id()) == beside);
  }
}

TEST_CASE("one save is made at a time, and none is ended that was not begun") {
  const TemporaryFolder folder;
  Session session;
  CHECK_THROWS_AS(session.trainer.end_save(), ConfigError);
  CHECK_FALSE(session.trainer.is_save_over());
  session.step(1);
  Gate gate;
  session.trainer.begin_save(folder / "state", any_room, gate.writer());
  CHECK_THROWS_AS(session.trainer.begin_save(folder / "other", any_room), ConfigError);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    gate.open();
  });
  session.step(1);
  session.trainer.save(folder / "state");  // the same place: waits, and replaces it
  later.join();
  CHECK(session.trainer.is_save_over());
  session.trainer.end_save();
  CHECK(StateFolder::read(folder / "state").state.next_step == 2);
}

TEST_CASE("without memory for the copy, a state is written in pieces") {
  StateToWrite run;
  run.weights.push_back({"w", "F32", {1}, [](const ByteSink&) { throw std::bad_alloc(); }});
  bool written = false;
  const WriteState note = [&](const std::filesystem::path&, StateToWrite state) {
    written = state.weights.size() == 1;
  };
  BackgroundSave save("nowhere", run, {.training = 0, .beside = any_room}, note);
  CHECK(written);
  CHECK(save.copied() == 0);
  CHECK(save.is_over());
  save.end();
}

TEST_CASE("a copy shares what is said of the run, which is no longer the run's, and has tensors of its own") {
  StateToWrite run;
  float value = 1;
  run.state = std::make_shared<const TrainingState>();
  run.weights.push_back(TensorToWrite::values_of<float>("w", DType::float32, {1}, std::span<const float>(&value, 1)));
  const StateToWrite copy = run.copied();
  value = 2;
  CHECK(copy.state == run.state);
  float kept = 0;
  copy.weights[0].write([&](std::span<const std::byte> bytes) { std::memcpy(&kept, bytes.data(), sizeof kept); });
  CHECK(kept == 1);
}

TEST_CASE("a phase has room beside a copy as long as both take no more than training and the room beside it") {
  StateToWrite run;
  run.weights.push_back({"w", "F32", {25}, [](const ByteSink& sink) { sink(std::vector<std::byte>(100)); }});
  std::promise<void> open;
  const WriteState wait = [&](const std::filesystem::path&, StateToWrite) { open.get_future().wait(); };
  BackgroundSave save("nowhere", run, {.training = 1000, .beside = 150}, wait);
  CHECK(save.copied() == 100);
  CHECK(save.leaves_room_for(10));
  CHECK(save.leaves_room_for(1050));
  CHECK_FALSE(save.leaves_room_for(1051));
  open.set_value();
  save.wait();
  CHECK(save.leaves_room_for(1051));
}

namespace {

/// What was seen of runs under a limit.
struct Seen {
  int checked = 0;  ///< phases that ran beside a copy
  int copies = 0, at_once = 0;
  int too_large = 0;  ///< runs in which the choice of tensors had no room beside the copy
};

/// So long that activations count.
std::vector<Example> long_examples() {
  std::vector<Example> examples = counting_examples(11);
  for (Example& e : examples) {
    for (std::size_t t = e.input_ids.size(); t < 30; ++t) {
      e.input_ids.push_back(static_cast<Index>(t % 96));
      e.labels.push_back(e.input_ids.back());
    }
  }
  return examples;
}

/// Saves whenever no save goes on, slowly, and looks after each phase at what it took beside the copy.
void run_within(Bytes limit, const Make& make, Seen& seen) {
  FitOptions options = Session::options_of_run();
  options.memory_limit = limit;
  std::atomic<Bytes> in_flight{0};
  std::atomic<int> looks{0};
  B* counted = nullptr;
  const auto look = [&] {
    if (const Bytes copy = in_flight; copy > 0) {
      ++seen.checked;
      CHECK(counted->memory().peak + copy <= limit);
    }
    counted->reset();
    ++looks;
  };
  options.on_selection = [&](const SelectionRecord&) { look(); };
  options.on_evaluation = [&](const EvaluationRecord&) { look(); };
  options.on_step = [&](const StepRecord&) { look(); };
  const auto here = std::this_thread::get_id();
  const WriteState slow = [&](const std::filesystem::path&, StateToWrite run) {
    if (std::this_thread::get_id() == here) return;
    in_flight = run.bytes();
    int before = looks;  // for three phases, or until the run seems to wait
    const int enough = before + 3;
    for (int patience = 0; looks < enough && patience < 100; ++patience) {
      if (const int now = looks; now != before) {
        before = now;
        patience = 0;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
    in_flight = 0;
  };
  Session session(options, 1, make, long_examples());
  counted = &session.backend;
  while (session.trainer.step()) {
    if (session.trainer.is_save_over()) session.trainer.end_save();
    if (session.trainer.is_saving()) continue;
    session.trainer.begin_save("nowhere", any_room, slow);
    if (session.trainer.is_save_over()) {
      ++seen.at_once;
      continue;
    }
    ++seen.copies;
    while (in_flight == 0 && !session.trainer.is_save_over()) std::this_thread::yield();
    session.backend.reset();
  }
  session.trainer.finish();
  if (session.trainer.is_saving()) session.trainer.end_save();
  const auto& memory = session.trainer.report().memory;
  seen.too_large += memory.save_copy > 0 && memory.importance + memory.save_copy > limit ? 1 : 0;
}

Bytes smallest_limit(const Make& make) {
  FitOptions options = Session::options_of_run();
  options.memory_limit = 1;
  try {
    const Session session(options, 1, make, long_examples());
  } catch (const InfeasibleMemory& refused) {
    return refused.smallest();
  }
  FAIL("a limit of one byte was accepted");
  return 0;
}

}  // namespace

TEST_CASE("a memory limit holds with the copy: phases without room wait, saves without room are made at once") {
  Seen chosen, fixed;
  const Bytes of_green = smallest_limit(green), of_full = smallest_limit(full);
  for (const int percent : {100, 115, 200}) {
    CAPTURE(percent);
    run_within(of_green * percent / 100, green, chosen);
    run_within(of_full * percent / 100, full, fixed);
  }
  CHECK(chosen.checked > 6);
  CHECK(chosen.copies > 3);
  CHECK(chosen.too_large > 0);
  CHECK(fixed.checked > 2);
  CHECK(fixed.copies > 0);
  CHECK(fixed.at_once > 0);
}
