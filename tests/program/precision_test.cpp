// greentrainer finetune and plan with products in bfloat16 and frozen weights in a storage format.

#include <chrono>
#include <signal.h>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

struct Run {
  TemporaryFolder folder;
  std::string data = folder.write("train.jsonl", rows()).string();

  static std::string model() { return source_path("examples/data/stories260k").string(); }
  static std::string rows() {
    std::string all;
    for (const char* text : {"Once upon a time there was a little girl.", "The cat sat on the mat and was happy.",
                             "Tim and Lily went to the park to play.", "One day, a big dog came to the house."})
      all += std::string(R"({"text": ")") + text + "\"}\n";
    return all;
  }
  Outcome run(const std::string& name, std::vector<std::string> more) const {
    more.insert(more.begin(),
                {"finetune", "--json", "--model", model(), "--train", data, "--epochs", "2", "--batch-size", "2",
                 "--learning-rate", "0.003", "--threads", "1", "--output", (folder / name).string()});
    return run_program(more);
  }
};

}  // namespace

TEST_CASE("frozen weights in q4_0: said, reported, and what is saved has the reported loss") {
  const Run run;
  const Outcome tuned = run.run("tuned", {"--method", "last:2", "--frozen-format", "q4_0", "--save-dtype", "float32"});
  CAPTURE(tuned.err);
  REQUIRE(tuned.status == 0);
  CHECK(tuned.json()["frozen_format"] == "q4_0");
  CHECK(tuned.err.find("31 tensors are stored as q4_0 until they are trained") != std::string::npos);
  CHECK(tuned.err.find("5 matrices stay float32, since Q4_0 has blocks of 32 of a row: model.layers.0.mlp.down_proj") !=
        std::string::npos);
  const Outcome saved = run_program(
      {"evaluate", "--json", "--model", (run.folder / "tuned").string(), "--data", run.data, "--threads", "1"});
  REQUIRE(saved.status == 0);
  CHECK(saved.json()["loss"].get<double>() == doctest::Approx(tuned.json()["loss_after"].get<double>()).epsilon(1e-6));
}

TEST_CASE("green chooses among stored weights by metrics that leave them where they are, and refuses the others") {
  const Run run;
  const std::vector<std::string> green = {"--method", "green", "--rho", "0.5", "--frozen-format", "q8_0"};
  auto with = [&](const std::string& name, std::vector<std::string> more) {
    more.insert(more.begin(), green.begin(), green.end());
    return run.run(name, more);
  };
  const Outcome chosen = with("green", {"--importance", "first-order"});
  CAPTURE(chosen.err);
  REQUIRE(chosen.status == 0);
  CHECK(chosen.json()["loss_after"].get<double>() < chosen.json()["loss_before"].get<double>());
  const Outcome paper = with("paper", {});
  CHECK(paper.status == 2);
  CHECK(paper.err.find("fisher, magnitude or random with --frozen-format, got paper") != std::string::npos);
  const Outcome step = with("step", {"--importance", "first-order", "--importance-step"});
  CHECK(step.status == 2);
  const Outcome full = run.run("full", {"--method", "full", "--frozen-format", "q8_0"});
  CHECK(full.status == 2);
  CHECK(full.err.find("got --method full") != std::string::npos);
  const Outcome unknown = run.run("unknown", {"--method", "lora", "--frozen-format", "q4_k"});
  CHECK(unknown.status == 2);
  CHECK(unknown.err.find("expected one of none, source, float16, q4_0, q8_0, bfloat16, nf4; got q4_k") !=
        std::string::npos);
}

TEST_CASE("products in bfloat16 are named in the report, change the loss a little, and tf32 is refused") {
  const Run run;
  const std::vector<std::string> method = {"--method", "full"};
  const Outcome exact = run.run("exact", method);
  const Outcome rounded = run.run("rounded", {"--method", "full", "--precision", "bfloat16"});
  CAPTURE(rounded.err);
  REQUIRE(exact.status == 0);
  REQUIRE(rounded.status == 0);
  CHECK(exact.json()["backend"].get<std::string>().find("bf16") == std::string::npos);
  CHECK(rounded.json()["backend"].get<std::string>().find("products in bf16 (") != std::string::npos);
  const double loss = exact.json()["loss_after"].get<double>(), other = rounded.json()["loss_after"].get<double>();
  CHECK(other != loss);
  CHECK(other == doctest::Approx(loss).epsilon(0.02));
  const Outcome tf32 = run.run("tf32", {"--method", "full", "--precision", "tf32"});
  CHECK(tf32.status == 2);
  CHECK(tf32.err.find("expected float32 or bfloat16 with --backend eigen, got tf32") != std::string::npos);
}

TEST_CASE("a plan knows what stored weights take") {
  const std::vector<std::string> plan = {"plan", "--json", "--model", Run::model(), "--tensors", "*.layers.4.*"};
  auto stored = plan;
  stored.insert(stored.end(), {"--frozen-format", "q4_0"});
  const Outcome wide = run_program(plan), narrow = run_program(stored);
  REQUIRE(wide.status == 0);
  REQUIRE(narrow.status == 0);
  CHECK(narrow.json()["memory"]["weights"].get<Bytes>() < wide.json()["memory"]["weights"].get<Bytes>());
  CHECK(narrow.json()["memory"]["gradients"] == wide.json()["memory"]["gradients"]);
  CHECK(narrow.json()["total"] == wide.json()["total"]);
  const Outcome everything = run_program({"plan", "--model", Run::model(), "--frozen-format", "q4_0"});
  CHECK(everything.status == 2);
  CHECK(everything.err.find("expected --tensors or --rho beside it") != std::string::npos);
}

TEST_CASE("a state of another precision is refused by that option's name") {
  const Run run;
  const std::string output = (run.folder / "tuned").string();
  std::vector<std::string> command = {"finetune", "--model",    Run::model(), "--train",  run.data,
                                      "--method", "full",       "--steps",    "1000000",  "--batch-size",
                                      "2",        "--evaluate", "none",       "--output", output};
  Program stopped([&] {
    auto rounded = command;
    rounded.insert(rounded.end(), {"--precision", "bfloat16"});
    return rounded;
  }());
  for (int i = 0; i < 3000 && stopped.error_so_far().find("step 1/") == std::string::npos; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  stopped.signal(SIGINT);
  REQUIRE(stopped.wait().status == 130);
  const Outcome other = run_program(command);
  CHECK(other.status == 1);
  CHECK(other.err.find("--precision: expected bfloat16, which the run saved in ") != std::string::npos);
  CHECK(other.err.find("--other-build") == std::string::npos);
}
