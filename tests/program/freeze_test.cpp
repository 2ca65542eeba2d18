// finetune and plan: what is frozen, what is spared from weight decay, and adapters that are trained further.

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "greentrainer/io/safetensors.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

struct Run {
  TemporaryFolder folder;
  std::string model = golden_model("opt-pre"), data = folder.write("train.jsonl", golden_rows("opt-pre")).string();

  Outcome go(const std::string& output, std::vector<std::string> more) const {
    more.insert(more.begin(), {"finetune", "--json", "--model", model, "--train", data, "--batch-size", "1", "--output",
                               (folder / output).string()});
    return run_program(std::move(more));
  }
  Json report(const std::string& output, std::vector<std::string> more) const {
    const Outcome outcome = go(output, std::move(more));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return outcome.json();
  }
  /// Names of the tensors that differ between two folders.
  static std::vector<std::string> changed(const std::filesystem::path& one, const std::filesystem::path& other) {
    const SafetensorsFile first(one / "model.safetensors"), second(other / "model.safetensors");
    std::vector<std::string> names;
    for (const TensorInfo& info : first.tensors()) {
      std::vector<float> a(static_cast<std::size_t>(info.elements())), b(a.size());
      first.read_as<float>(info.name, a);
      second.read_as<float>(info.name, b);
      if (a != b) names.push_back(info.name);
    }
    return names;
  }
};

}  // namespace

TEST_CASE("what is frozen is in the saved folder as it was, by any method, and plan prices the run without it") {
  const Run run;
  const std::vector<std::string> freeze = {"--freeze", "*.fc1.*,*embed*", "--steps", "4", "--learning-rate", "0.01"};
  for (const std::vector<std::string>& method :
       std::vector<std::vector<std::string>>{{"--method", "full"},
                                             {"--rho", "0.7"},
                                             {"--method", "bitfit"},
                                             {"--method", "lora", "--lora-targets", "q_proj"}}) {
    CAPTURE(method.back());
    std::vector<std::string> options = freeze;
    options.insert(options.end(), method.begin(), method.end());
    options.push_back("--overwrite");
    const Json report = run.report("out", options);
    const auto changed = Run::changed(run.model, run.folder / "out");
    CHECK_FALSE(changed.empty());
    for (const std::string& name : changed) {
      CAPTURE(name);
      CHECK_FALSE(has(name, ".fc1."));
      CHECK_FALSE(has(name, "embed"));
    }
    for (const auto& selection : report["selections"]) {
      for (const auto& name : selection["names"]) CHECK_FALSE(has(name.get<std::string>(), ".fc1."));
    }
  }
  const Json full = run.report("full", {"--method", "full", "--freeze", "*.fc1.*,*embed*", "--epochs", "2"});
  const Outcome planned = run_program({"plan", "--json", "--model", run.model, "--train", run.data, "--epochs", "2",
                                       "--batch-size", "1", "--freeze", "*.fc1.*,*embed*"});
  CAPTURE(planned.err);
  REQUIRE(planned.status == 0);
  CHECK(planned.json()["run"]["total"] == full["flops"]["train"]);
  CHECK(planned.json()["run"]["full"] == full["flops"]["full"]);
  CHECK(planned.json()["selection"] == full["selections"][0]["names"]);
  CHECK(planned.json()["ratio"].get<double>() < 1);
}

TEST_CASE("a freeze of nothing, or of all, is refused by name, by finetune and plan") {
  const Run run;
  const auto refused = [](const Outcome& outcome, const char* why) {
    CAPTURE(outcome.err);
    CHECK(outcome.status != 0);
    CHECK(has(outcome.err, why));
  };
  refused(run.go("out", {"--freeze", "*.mlp.*"}),
          "--freeze: expected names or globs of the model's tensors, got *.mlp.*");
  refused(run.go("out", {"--freeze", "*.bias", "--method", "bitfit"}),
          "--freeze: expected patterns that leave something");
  refused(run.go("out", {"--freeze", "*.bias", "--importance", "first-order", "--importance-step"}),
          "--importance-step: expected not to be given with --freeze");
  refused(run_program({"plan", "--model", run.model, "--freeze", "*.mlp.*"}), "--freeze: expected names or globs");
  refused(run_program({"plan", "--model", run.model, "--freeze", "*"}),
          "--freeze: expected patterns that leave something");
  refused(run_program({"plan", "--model", run.model, "--freeze", "*.bias", "--cost-model", "paper"}),
          "--freeze: expected not to be given with --cost-model paper");
  CHECK(run.folder.entries() == 1);
}

TEST_CASE("norms and biases are spared from weight decay on request") {
  const Run run;
  // Decay alone: the gradients of so small a rate are nothing beside a decay of 1e6 times the rate.
  const std::vector<std::string> options = {
      "--method", "full", "--steps", "2", "--learning-rate", "1e-7", "--optimizer", "sgd", "--weight-decay", "1000000"};
  std::vector<std::string> spared = options;
  spared.insert(spared.end(), {"--no-decay-on", "norms-and-biases"});
  run.report("all", options);
  run.report("spared", spared);
  const SafetensorsFile before(std::filesystem::path(run.model) / "model.safetensors"),
      all(run.folder / "all/model.safetensors"), some(run.folder / "spared/model.safetensors");
  int decayed = 0, kept = 0;
  for (const TensorInfo& info : before.tensors()) {
    CAPTURE(info.name);
    const auto norm = [&](const SafetensorsFile& file) {
      std::vector<float> values(static_cast<std::size_t>(info.elements()));
      file.read_as<float>(info.name, values);
      double sum = 0;
      for (const float value : values) sum += static_cast<double>(value) * value;
      return std::sqrt(sum);
    };
    const bool is_spared = has(info.name, "bias") || has(info.name, "norm");
    CHECK(norm(all) < 0.9 * norm(before));
    if (is_spared)
      CHECK(norm(some) == doctest::Approx(norm(before)).epsilon(1e-3));
    else
      CHECK(norm(some) < 0.9 * norm(before));
    ++(is_spared ? kept : decayed);
  }
  CHECK(kept > 5);
  CHECK(decayed > 5);
  CHECK(run.go("out", {"--optimizer", "sgd", "--no-decay-on", "norms-and-biases"}).status == 2);
}

TEST_CASE("an adapter that was saved is trained further, and its own numbers need not be said again") {
  const Run run;
  const std::vector<std::string> options = {"--method", "lora", "--adapter-output", "peft",
                                            "--steps",  "3",    "--learning-rate",  "0.01"};
  std::vector<std::string> first = options, second = options;
  first.insert(first.end(), {"--lora-r", "3", "--lora-targets", "q_proj,fc1"});
  second.insert(second.end(), {"--from-adapter", (run.folder / "first").string()});
  const Json start = run.report("first", first), further = run.report("second", second);
  CHECK(further["loss_before"].get<double>() == doctest::Approx(start["loss_after"].get<double>()).epsilon(1e-6));
  CHECK(further["loss_after"].get<double>() < further["loss_before"].get<double>());
  const Json config = read_json_file(run.folder / "second/adapter_config.json");
  CHECK(config["r"] == 3);

  const auto refused = [&](std::vector<std::string> more, const char* why) {
    const Outcome outcome = run.go("out", std::move(more));
    CAPTURE(outcome.err);
    CHECK(outcome.status != 0);
    CHECK(has(outcome.err, why));
  };
  const std::string adapter = (run.folder / "first").string();
  refused({"--from-adapter", adapter}, "--from-adapter: expected not to be given with --method green");
  refused({"--from-adapter", adapter, "--method", "lora", "--lora-r", "4"},
          "--lora-r: expected not to be given with --from-adapter");
  refused({"--from-adapter", adapter, "--method", "prefix"},
          "--from-adapter: expected an adapter of --method prefix, got one of lora");
  refused({"--from-adapter", run.model, "--method", "lora"}, "adapter_config.json");
}
