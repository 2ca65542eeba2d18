// Time that a pass takes on a backend that starts work and does it later.

#include <chrono>
#include <filesystem>
#include <thread>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/llama.hpp"
#include "support/paths.hpp"
#include "support/tiny_models.hpp"

using namespace greentrainer;

namespace {

/// What it was asked for is done when it is waited for, and takes 20 ms.
struct LateBackend : EigenBackend<float> {
  LateBackend() : EigenBackend<float>(1) {}
  static void synchronize() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }
};

}  // namespace

TEST_CASE("the seconds of a pass contain the work that was started and not done, forward and backward apart") {
  LateBackend backend;
  const auto llama =
      Llama::read(ConfigReader::from_file(testing::source_folder() / "tests/golden/models/llama-gqa-tied/config.json"));
  Model<LateBackend> model(backend, llama.graph<LateBackend>(), facts_of(llama));
  testing::randomize(model, 3);
  const Batch batch = testing::random_batch(96, {8}, 1);
  PassProfile inference;
  model.executor().run(make_schedule(model.graph(), evaluation_plan(model.graph())), batch, {.profile = &inference});
  CHECK(inference.total().forward >= 0.02);
  CHECK(inference.total().backward == 0);

  GradientStore<LateBackend> gradients(backend);
  gradients.select(model.graph(), select_all(model.graph()));
  PassProfile training;
  model.executor().run(make_schedule(model.graph(), select_all(model.graph())), batch,
                       {.gradients = &gradients, .profile = &training});
  CHECK(training.total().forward >= 0.02);
  CHECK(training.total().backward >= 0.02);

  model.executor().run(make_schedule(model.graph(), select_all(model.graph())), batch, {.gradients = &gradients});
  CHECK(training.operators().size() == model.graph().operators().size());  // a pass without a profile adds to none
}
