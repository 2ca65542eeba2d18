// greentrainer finetune with residual branches that pass the identity.

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

struct Run {
  TemporaryFolder folder;
  std::string data =
      folder.write("train.jsonl", golden_rows("llama-gqa-tied") + golden_rows("llama-gqa-tied")).string();

  Outcome run(const std::string& name, std::vector<std::string> more) const {
    more.insert(more.begin(),
                {"finetune", "--json", "--model", golden_model("llama-gqa-tied"), "--train", data, "--steps", "6",
                 "--batch-size", "2", "--learning-rate", "0.003", "--output", (folder / name).string()});
    return run_program(more);
  }
};

}  // namespace

TEST_CASE("rotating branches: fewer FLOPs, said to be approximate, each draw reported") {
  const Run run;
  const Outcome exact = run.run("exact", {"--method", "full"}),
                rotating = run.run("rotating", {"--method", "full", "--passing", "rotating", "--passing-share", "0.5",
                                                "--reselect-every", "2s"});
  CAPTURE(rotating.err);
  REQUIRE(exact.status == 0);
  REQUIRE(rotating.status == 0);
  const Json whole = exact.json(), some = rotating.json();
  CHECK(whole["passing"] == "exact");
  CHECK(some["passing"] == "rotating");
  CHECK(rotating.err.find("gradients are approximate: they go down through 2 of 4 residual branches, drawn anew every "
                          "2 steps") != std::string::npos);
  CHECK(exact.err.find("approximate") == std::string::npos);
  CHECK(some["loss_before"] == whole["loss_before"]);
  CHECK(some["loss_after"].get<double>() < some["loss_before"].get<double>());
  CHECK(some["flops"]["full"] == whole["flops"]["full"]);
  CHECK(some["flops"]["train"].get<Flops>() < whole["flops"]["train"].get<Flops>());
  REQUIRE(some["selections"].size() == 3);
  for (const Json& selection : some["selections"]) CHECK(selection["identity_branches"].size() == 2);
  CHECK(whole["selections"][0]["identity_branches"].empty());
  CHECK(contents(run.folder / "rotating" / "metrics.jsonl").find("attention_residual") != std::string::npos);

  const Outcome green =
      run.run("green", {"--method", "green", "--rho", "0.6", "--passing", "rotating", "--reselect-every", "3s"});
  CAPTURE(green.err);
  REQUIRE(green.status == 0);
  CHECK(green.json()["flops"]["train"].get<double>() <= 0.6 * green.json()["flops"]["full"].get<double>());
}

TEST_CASE("options that rotating branches do not go with are refused by name") {
  const Run run;
  const auto refused = [&](std::vector<std::string> options, const char* name) {
    const Outcome outcome = run.run("refused", std::move(options));
    CHECK(outcome.status == 2);
    CHECK(outcome.err.find(name) != std::string::npos);
  };
  refused({"--passing-share", "0.5"}, "--passing-share");
  refused({"--passing", "rotating", "--passing-share", "0"}, "--passing-share");
  refused({"--passing", "rotating", "--dependencies", "none"}, "--dependencies");
  refused({"--passing", "rotating", "--method", "full", "--memory-limit", "1GiB"}, "--memory-limit");
  refused({"--passing", "rotating", "--method", "full", "--budget", "0.5x", "--prefix-cache", "memory"},
          "--prefix-cache");
  refused({"--passing", "rotating", "--phases", "1:50%,0.6:50%"}, "--passing");
  refused({"--method", "full", "--reselect-every", "2s"}, "--reselect-every");
}
