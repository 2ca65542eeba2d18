// A run that was saved and continued is the run that was never stopped, bit for bit; and a state that is damaged or of
// another run is refused by name, with nothing changed.

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/folder_manifest.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/models/detached_context.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/train/state_json.hpp"
#include "greentrainer/train/trainer.hpp"
#include "greentrainer/train/training_state_fields.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"
#include "support/written_state.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::TemporaryFolder;
using greentrainer::testing::weights_of;
using greentrainer::testing::written;

namespace {

using B = CountingBackend<EigenBackend<float>>;

struct Result {
  std::string report;  // as JSON, without times
  std::vector<std::vector<float>> weights;
  Flops refilled = 0, unaccounted = 0;

  bool operator==(const Result& other) const { return report == other.report && weights == other.weights; }
};

/// A run that can be made again from its beginning.
struct Case {
  const char* name;
  const char* model = "llama-gqa-tied";
  GraphOptions graph = {};
  FitOptions options = {};
  std::function<Trainer<B>(Model<B>&)> make = {};
};

constexpr std::size_t example_count = 11;

/// A process: everything that a run has in memory.
struct Session {
  explicit Session(const Case& of, int threads = 1)
      : backend(threads),
        model(load_pretrained(testing::source_folder() / "tests/golden/models" / of.model, backend, of.graph, 5)),
        trainer(of.make(model)) {
    trainer.start(examples, of.options);
    backend.reset();
  }

  Result end() {
    while (trainer.step()) {
    }
    const TrainingReport report = trainer.finish();
    TrainingReport without_times = report;
    without_times.seconds = {};
    without_times.flops.refilled = 0;
    for (StepRecord& step : without_times.history) step.seconds = 0;
    Json json = parse_json(written(without_times), "test");
    json["after"] = parse_json(written(report.loss_after), "test");
    json["patience_over"] = report.patience_over;
    json["plan"] = {report.plan.steps, report.plan.batch_size, report.plan.planned, report.budget_reached};
    const auto& f = report.flops;
    return {.report = json.dump(),
            .weights = weights_of(model),
            .refilled = f.refilled,
            .unaccounted =
                backend.flops() - (f.train + f.recomputed + f.importance + f.optimizer + f.evaluation + f.refilled)};
  }

  B backend;
  PretrainedModel<B> model;
  std::vector<Example> examples = counting_examples(example_count);
  Trainer<B> trainer;
};

Trainer<B> full(Model<B>& model) {
  return Trainer<B>(model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-3});
}
Trainer<B> green(Model<B>& model) {
  return Trainer<B>(model, GreenOptions{.flops_ratio = 0.6, .reselect_every = {3, Interval::Unit::steps}},
                    AdamWOptions{.learning_rate = 1e-3});
}

std::vector<Case> cases() {
  const FitOptions plain{.epochs = 2, .batch_size = 2, .seed = 3};
  FitOptions accumulated = plain, cached = plain, limited = plain, paid = plain, evaluated = plain;
  accumulated.gradient_accumulation = 2;
  accumulated.clip_norm = 0.5;
  accumulated.schedule = {.kind = LearningRateSchedule::Kind::cosine, .warmup_steps = 2};
  cached.epochs = 3;
  cached.prefix_cache = PrefixCacheMode::memory;
  cached.prefix_cache_limit = 3000;  // not all examples fit
  FitOptions long_cached = cached;
  long_cached.epochs = 5;
  long_cached.prefix_cache_limit = 7000;
  paid.budget = {.share_of_full = 0.5};
  evaluated.evaluate_every = Interval{2, Interval::Unit::steps};
  evaluated.keep_best = RunMetric{};
  evaluated.patience = 2;
  const auto top = [](Model<B>& model) {
    return Trainer<B>(model, select_last_layers(model.graph(), model.facts(), 1), AdamWOptions{.learning_rate = 1e-3});
  };
  const auto shallow = [](Model<B>& model) {
    return Trainer<B>(model, GreenOptions{.flops_ratio = 0.5, .reselect_every = {15, Interval::Unit::steps}},
                      AdamWOptions{.learning_rate = 1e-3});
  };
  const auto adapters = [](Model<B>& model) {
    return Trainer<B>(model, select_adapters(model.graph()), AdamWOptions{.learning_rate = 1e-2});
  };
  const auto momentum = [](Model<B>& model) {
    return Trainer<B>(model, select_all(model.graph()), SgdOptions{.learning_rate = 1e-2, .momentum = 0.9});
  };
  const auto in_step = [](Model<B>& model) {
    return Trainer<B>(model,
                      GreenOptions{.flops_ratio = 0.7,
                                   .importance = "first-order",
                                   .importance_step = true,
                                   .reselect_every = {4, Interval::Unit::steps}},
                      AdamWOptions{.learning_rate = 1e-3});
  };
  const auto drawn = [](Model<B>& model) {
    return Trainer<B>(model,
                      GreenOptions{.flops_ratio = 0.6,
                                   .importance = "magnitude",
                                   .sampling = Sampling::importance,
                                   .reselect_every = {2, Interval::Unit::steps}},
                      AdamWOptions{.learning_rate = 1e-3});
  };
  const auto in_phases = [](Model<B>& model) {
    return Trainer<B>(model,
                      GreenOptions{.phases = {{.flops_ratio = 1, .steps = 0.3}, {.flops_ratio = 0.5, .steps = 0.7}},
                                   .reselect_every = {3, Interval::Unit::steps}},
                      AdamWOptions{.learning_rate = 1e-3});
  };
  const auto faster = [](Model<B>& model) {
    return Trainer<B>(
        model, GreenOptions{.flops_ratio = 0.7, .reselect_every = {3, Interval::Unit::steps}},
        AdamWOptions{.learning_rate = 1e-3, .rate_factor = {.of = select_adapters(model.graph()), .factor = 10}});
  };
  // So fast that losses go up and down, and the best weights are not the last.
  const auto restless = [](Model<B>& model) {
    return Trainer<B>(model, GreenOptions{.flops_ratio = 0.6, .reselect_every = {3, Interval::Unit::steps}},
                      AdamWOptions{.learning_rate = 5e-2});
  };
  const auto ending = [](Model<B>& model) {
    Model<B> detached = with_detached_context(model, ContextGradients::keys);
    Trainer<B> trainer(detached, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-3});
    trainer.use_ending(model, {.share = 0.5});
    return trainer;
  };
  const GraphOptions lora{.lora = LoraOptions{.rank = 4, .alpha = 16, .dropout = 0.1}};
  return {{.name = "full, accumulated and clipped", .options = accumulated, .make = full},
          {.name = "green with re-selection", .options = plain, .make = green},
          {.name = "green, cached", .model = "opt-pre", .options = long_cached, .make = shallow},
          {.name = "SGD with momentum", .options = plain, .make = momentum},
          {.name = "an ending with exact gradients", .options = plain, .make = ending},
          {.name = "LoRA with dropout", .graph = lora, .options = plain, .make = adapters},
          {.name = "LoRA beside weights, faster", .graph = lora, .options = plain, .make = faster},
          {.name = "the top layer, cached", .options = cached, .make = top},
          {.name = "importance in a step", .options = plain, .make = in_step},
          {.name = "tensors that are drawn", .options = plain, .make = drawn},
          {.name = "phases under a budget", .options = paid, .make = in_phases},
          {.name = "a budget for the run", .options = paid, .make = green},
          {.name = "the best weights, with patience", .options = evaluated, .make = restless}};
}

}  // namespace

TEST_CASE("a run that is saved after any step and continued by another process is the uninterrupted run to the bit") {
  for (const Case& of : cases()) {
    CAPTURE(std::string(of.name));
    Session whole(of);
    const Result expected = whole.end();
    CHECK(expected.unaccounted == 0);
    const Extent steps = whole.trainer.steps_done();
    REQUIRE(steps >= 3);
    Flops refilled = 0;
    for (Extent stop = 0; stop <= steps; stop += stop < 4 ? 1 : 5) {
      CAPTURE(stop);
      const TemporaryFolder folder;
      Session first(of);
      for (Extent step = 0; step < stop; ++step) REQUIRE(first.trainer.step());
      first.trainer.save(folder / "state");
      Session second(of, 2);
      second.trainer.load(folder / "state");
      CHECK(second.trainer.steps_done() == stop);
      const Result result = second.end();
      CHECK(result == expected);
      refilled += result.refilled;
      CHECK(first.end() == expected);  // saving changes nothing
    }
    CAPTURE(refilled);
    CHECK((refilled > 0) == (std::string(of.name).find("cached") != std::string::npos));
  }
}

TEST_CASE("a run can be saved from within on_step, and over and over at the same place") {
  const TemporaryFolder folder;
  Case of = cases()[1];
  Session* running = nullptr;
  of.options.on_step = [&](const StepRecord&) { running->trainer.save(folder / "state"); };
  Session first(of);
  running = &first;
  for (int step = 0; step < 5; ++step) REQUIRE(first.trainer.step());
  Session second(cases()[1]);
  second.trainer.load(folder / "state");
  CHECK(second.trainer.steps_done() == 5);
  CHECK(second.end() == first.end());
}

TEST_CASE("a run that is asked to stop in an evaluation, or between steps, goes on from what is saved then") {
  const Case plain = cases()[1];
  const Result expected = Session(plain).end();
  int asked = 0, most = 0;
  Case of = plain;
  of.options.should_stop = [&] { return ++asked > most; };
  for (most = 0; most < 20; ++most) {
    CAPTURE(most);
    asked = 0;
    const TemporaryFolder folder;
    Session first(of);
    while (first.trainer.step()) {
    }
    const TrainingReport report = first.trainer.finish();
    if (!report.stopped) break;
    first.trainer.save(folder / "state");
    Session second(plain);
    second.trainer.load(folder / "state");
    CHECK(second.end() == expected);
  }
  CHECK(most < 20);
  CHECK(most > 14);  // two passes before, eleven steps and two passes after
}

TEST_CASE("a state holds the weights that changed and the moments of what is selected, and little else") {
  const TemporaryFolder folder;
  Session session(cases()[1]);
  while (session.trainer.step()) {
  }
  session.trainer.save(folder / "state");
  const StateFolder state = StateFolder::read(folder / "state");
  CHECK(state.weights.tensors().size() == state.state.changed.size());
  CHECK(state.optimizer.tensors().size() == 2 * state.state.selected.size());
  CHECK(state.state.changed.size() < session.model.graph().parameters().size());
  Bytes selected = 0;
  for (const auto& name : state.state.selected)
    selected += 4 * session.model.graph().parameter(*session.model.graph().find(name)).size();
  Bytes stored = 0;
  for (const auto& info : state.optimizer.tensors()) stored += static_cast<Bytes>(info.end - info.begin);
  CHECK(stored == 2 * selected);
}

TEST_CASE("a state of another run is refused by the name of what differs, and the trainer goes on as it was started") {
  const TemporaryFolder folder;
  const Case of = cases()[1];
  Session saved(of);
  REQUIRE(saved.trainer.step());
  saved.trainer.save(folder / "state");
  const auto refused = [&](const char* name, const std::function<void(Case&)>& change) {
    CAPTURE(std::string(name));
    Case other = of;
    change(other);
    const Result expected = Session(other).end();
    Session session(other);
    try {
      session.trainer.load(folder / "state");
      FAIL("expected a StateMismatch");
    } catch (const StateMismatch& error) {
      CHECK(error.subject() == name);
      CHECK(std::string(error.what()).find("which the run saved in") != std::string::npos);
    }
    CHECK(session.end() == expected);
  };
  refused("batch_size", [](Case& c) { c.options.batch_size = 3; });
  refused("seed", [](Case& c) { c.options.seed = 4; });
  refused("epochs", [](Case& c) { c.options.epochs = 3; });
  refused("model", [](Case& c) { c.model = "llama-mha-untied"; });
  refused("my selector", [](Case& c) { c.options.also_depends_on["my selector"] = "greedy"; });
  refused("optimizer", [](Case& c) {
    c.make = [](Model<B>& model) {
      return Trainer<B>(model, GreenOptions{.flops_ratio = 0.6, .reselect_every = {3, Interval::Unit::steps}},
                        AdamWOptions{.learning_rate = 1.0000001e-3});
    };
  });
  refused("flops_ratio", [](Case& c) {
    c.make = [](Model<B>& model) {
      return Trainer<B>(model, GreenOptions{.flops_ratio = 0.7, .reselect_every = {3, Interval::Unit::steps}},
                        AdamWOptions{.learning_rate = 1e-3});
    };
  });
  refused("phases", [](Case& c) {
    c.make = [](Model<B>& model) {
      return Trainer<B>(
          model,
          GreenOptions{
              .flops_ratio = 0.6, .phases = {{.flops_ratio = 0.6}}, .reselect_every = {3, Interval::Unit::steps}},
          AdamWOptions{.learning_rate = 1e-3});
    };
  });
  refused("sampling", [](Case& c) {
    c.make = [](Model<B>& model) {
      return Trainer<B>(
          model,
          GreenOptions{
              .flops_ratio = 0.6, .sampling = Sampling::importance, .reselect_every = {3, Interval::Unit::steps}},
          AdamWOptions{.learning_rate = 1e-3});
    };
  });
  Session other_data(of);
  other_data.examples[7].labels.back() = 1;
  other_data.trainer.start(other_data.examples, of.options);
  CHECK_THROWS_AS(other_data.trainer.load(folder / "state"), StateMismatch);
}

TEST_CASE("another build is refused, and allowed on request") {
  const RunIdentity saved{{"backend", "eigen (AVX)"}, {"build", "1"}, {"seed", "1"}};
  RunIdentity now = saved;
  expect_same_run("state", saved, now, false);
  now["build"] = "2";
  CHECK_THROWS_AS(expect_same_run("state", saved, now, false), StateMismatch);
  expect_same_run("state", saved, now, true);
  now["seed"] = "2";
  CHECK_THROWS_AS(expect_same_run("state", saved, now, true), StateMismatch);
}

TEST_CASE("where an option differs, and the backend with it, the option is what is named first") {
  const RunIdentity saved{{"backend", "eigen (AVX, products in bf16)"}, {"build", "1"}, {"precision", "bfloat16"}};
  RunIdentity now = saved;
  now["backend"] = "eigen (AVX)";
  now["precision"] = "float32";
  try {
    expect_same_run("state", saved, now, false);
    FAIL("a run of another precision was taken for the same");
  } catch (const StateMismatch& mismatch) {
    CHECK(mismatch.subject() == "precision");
    CHECK(testing::has(mismatch.what(), "other than then are also backend"));
  }
}

TEST_CASE("a damaged state is refused, whatever byte it is") {
  const TemporaryFolder folder;
  const Case of = cases()[4];
  Session saved(of);
  REQUIRE(saved.trainer.step());
  saved.trainer.save(folder / "state");
  const Result expected = saved.end();
  Session session(of);
  for (const char* name :
       {StateFolder::state_file, StateFolder::weights_file, StateFolder::optimizer_file, StateFolder::best_file}) {
    CAPTURE(std::string(name));
    const auto path = folder / "state" / name;
    const std::string whole = read_file(path);
    for (const std::size_t at : {std::size_t{0}, std::size_t{9}, whole.size() / 2, whole.size() - 1}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ 1);
      atomic_write_file(path, damaged);
      CHECK_THROWS_AS(session.trainer.load(folder / "state"), LoadError);
      atomic_write_file(path, whole.substr(0, at));
      CHECK_THROWS_AS(session.trainer.load(folder / "state"), LoadError);
    }
    std::filesystem::remove(path);
    CHECK_THROWS_AS(session.trainer.load(folder / "state"), LoadError);
    atomic_write_file(path, whole);
  }
  session.trainer.load(folder / "state");
  CHECK(session.end() == expected);
}

TEST_CASE("a state that someone made up is refused by field, before anything is changed") {
  const TemporaryFolder folder;
  const Case of = cases()[1];
  Session saved(of);
  REQUIRE(saved.trainer.step());
  saved.trainer.save(folder / "state");
  const auto path = folder / "state" / StateFolder::state_file;
  const Json whole = read_json_file(path);
  Session session(of);
  const auto refused = [&](const char* field, const std::function<void(Json&)>& change) {
    CAPTURE(std::string(field));
    Json json = whole;
    change(json);
    atomic_write_file(path, json.dump());
    FolderManifest::of(folder / "state").write(folder / "state");  // as who made it up would
    try {
      session.trainer.load(folder / "state");
      FAIL("expected a LoadError");
    } catch (const LoadError& error) {
      const std::string message = error.what();
      CAPTURE(message);
      CHECK(message.find(field) != std::string::npos);
    }
  };
  refused("format", [](Json& json) { json["format"] = "other"; });
  refused("version", [](Json& json) { json["version"] = 1; });
  refused("next_step", [](Json& json) { json["next_step"] = 1000; });
  refused("next_step", [](Json& json) { json["next_step"] = -1; });
  refused("next_step", [](Json& json) { json["next_step"] = 1.5; });
  refused("next_step", [](Json& json) { json.erase("next_step"); });
  refused("selected", [](Json& json) { json["selected"] = 3; });
  refused("../../x", [](Json& json) { json["selected"].push_back("../../x"); });
  refused("each once", [](Json& json) { json["changed"].push_back(json["changed"][0]); });
  refused("cut", [](Json& json) { json["cut"] = 3; });
  refused("cached", [](Json& json) { json["cached"] = {1}; });
  refused("updates", [](Json& json) { json["updates"]["none"] = 1; });
  refused("report", [](Json& json) { json["report"]["steps"] = 7; });
  refused("report.history", [](Json& json) { json["report"]["history"]["loss"].push_back(1.0); });
  refused("report.history.loss", [](Json& json) { json["report"]["history"]["loss"][0] = "many"; });
  refused("report.selections", [](Json& json) { json["report"]["selections"][0].erase("gap"); });
  refused("expected it in the file", [&](Json& json) {
    auto& changed = json["changed"];
    for (const Parameter& p : session.model.graph().parameters()) {
      if (std::find(changed.begin(), changed.end(), p.name) == changed.end()) changed[0] = p.name;
    }
  });
  atomic_write_file(path, whole.dump());
  FolderManifest::of(folder / "state").write(folder / "state");
  session.trainer.load(folder / "state");
  CHECK(session.end() == saved.end());
}

TEST_CASE("a state is saved and loaded at the right moment alone") {
  const TemporaryFolder folder;
  const Case of = cases()[0];
  Session session(of);
  REQUIRE(session.trainer.step());
  session.trainer.save(folder / "state");
  CHECK_THROWS_AS(session.trainer.load(folder / "state"), ConfigError);
  CHECK_THROWS_AS(session.trainer.load(folder / "none"), Error);
  session.end();
  CHECK_THROWS_AS(session.trainer.step(), ConfigError);
  EigenBackend<float> backend(1);
  auto model = greentrainer::testing::tiny_model(backend, "opt-pre");
  Trainer<EigenBackend<float>> idle(model, select_all(model.graph()), AdamWOptions{});
  CHECK_THROWS_AS(idle.save(folder / "other"), ConfigError);
  CHECK_THROWS_AS(idle.step(), ConfigError);
}
