// What the program says to mistyped options, configuration files and values: exit status 2 and one line with the way
// out.

#include <doctest/doctest.h>

#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("every command has help with examples, and the program its version") {
  const auto version = run_program({"--version"});
  CHECK(version.status == 0);
  CHECK(has(version.out, "greentrainer 0."));
  CHECK(run_program({"--help"}).status == 0);
  for (const std::string command : {"plan", "select", "finetune", "evaluate", "generate", "export"}) {
    const auto help = run_program({command, "--help"});
    CHECK(help.status == 0);
    CHECK(has(help.out, "Examples:"));
    CHECK(has(help.out, "--json"));
    CHECK(help.err == "");
  }
}

TEST_CASE("the program loads no library of a GPU's unless one is asked for, since these take memory") {
  const auto libraries = Program({"--version"}, "/dev/null", {"env", "LD_TRACE_LOADED_OBJECTS=1"}).wait();
  CHECK(has(libraries.out, "libc.so"));
  CHECK_FALSE(has(libraries.out, "libcublas"));
}

TEST_CASE("bad usage exits with 2 and says what was meant") {
  const std::string model = golden_model("opt-pre");
  struct Case {
    std::vector<std::string> arguments;
    std::string says;
  };
  const std::vector<Case> cases = {
      {{}, "there are plan, select, finetune, "},
      {{"fintune"}, "did you mean finetune?"},
      {{"plan", "--modle", model}, "did you mean --model?"},
      {{"plan"}, "--model"},
      {{"plan", "--model"}, "--model"},
      {{"plan", "--model", model, "surplus"}, "surplus"},
      {{"plan", "--model", model, "select"}, "select: expected an option, got a bare word"},
      {{"plan", "--model", model, "--tokens", "many"}, "--tokens"},
      {{"plan", "--model", model, "--tokens", "0"}, "--tokens"},
      {{"plan", "--model", model, "--cost-model", "papper"}, "did you mean paper?"},
      {{"plan", "--model", model, "--rho", "0.5"}, "--importance"},
      {{"plan", "--model", model, "--rho", "nan", "--importance", "x"}, "--rho"},
      {{"finetune", "--model", model, "--train", "x"}, "--output"},
      {{"finetune", "--model", model, "--train", "x", "--output", "y", "--method", "gren"}, "did you mean green?"},
      {{"finetune", "--model", model, "--train", "x", "--output", "y", "--method", "full", "--rho", "0.5"}, "--rho"},
      {{"finetune", "--model", model, "--train", "x", "--output", "y", "--tensors", "a"}, "--tensors"},
      {{"finetune", "--model", model, "--train", "x", "--output", "y", "--method", "listed"}, "--tensors"},
      {{"finetune", "--model", model, "--train", "x", "--output", "y", "--epochs", "1", "--steps", "2"}, "--steps"},
      {{"finetune", "--model", model, "--train", "x", "--output", "y", "--reselect-every", "2"}, "2e or 100s"},
      {{"finetune", "--model", model, "--train", "x", "--output", "y", "--reselect-every", "9223372036854775807e"},
       "2e or 100s"},
      {{"finetune", "--model", model, "--train", "x", "--output", "y", "--importance", "grad"}, "--importance"},
      {{"finetune", "--model", model, "--train", "x", "--output", "y", "--momentum", "0.9"}, "--momentum"},
      {{"evaluate", "--model", model, "--data", "x", "--backend", "egen"}, "did you mean eigen?"},
      {{"evaluate", "--model", model, "--data", "x", "--products", "bf16"}, "it is called --precision now"},
      {{"plan", "--model", model, "--gradient-sums", "exact", "--memory-limit", "1GiB"}, "--memory-limit"}};
  for (const auto& c : cases) {
    const auto outcome = run_program(c.arguments);
    CAPTURE(outcome.err);
    CHECK(outcome.status == 2);
    CHECK(outcome.out == "");
    CHECK(outcome.error_lines() == 1);
    CHECK(outcome.err.starts_with("["));
    CHECK(has(outcome.err, c.says));
  }
}

TEST_CASE("a backend without a device exits with 77") {
  const auto outcome =
      run_program({"evaluate", "--model", golden_model("opt-pre"), "--data", "x", "--backend", "cuda"});
  CHECK(outcome.status == 77);
  CHECK((has(outcome.err, "cuda") || has(outcome.err, "CUDA")));
}

TEST_CASE("a configuration file holds any option, and a flag wins over it") {
  const TemporaryFolder folder;
  const auto model = golden_model("opt-pre");
  const auto plan = [&](const std::string& toml, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"plan", "--config", folder.write("run.toml", toml).string(), "--model", model});
    return run_program(std::move(more));
  };
  const auto tokens_8 = run_program({"plan", "--json", "--model", model, "--tokens", "8", "--tensors", "*fc1*,*.bias"});
  REQUIRE(tokens_8.status == 0);
  CHECK(plan("tokens = 8\njson = true\ntensors = ['*fc1*', '*.bias']\n").out == tokens_8.out);
  CHECK(plan("tokens = 9\nlearning-rate = 1e-3\n[plan]\ntokens = 8\njson = true\ntensors = "
             "'*fc1*,*.bias'\n[finetune]\nrho = 0.4\n")
            .out == tokens_8.out);
  CHECK(
      plan("tokens = 99\njson = true\ntensors = 'x'\n", {"--tokens", "8", "--tensors", "*fc1*", "--tensors", "*.bias"})
          .out == tokens_8.out);
  CHECK(plan("tokens = 8\njson = true\nrho = 0.5\nimportance = 'x'\n", {"--tensors", "*fc1*,*.bias"}).out ==
        tokens_8.out);  // of two that exclude each other
  CHECK(has(plan("rho = 0.5\nimportance = 'x'\ntensors = 'y'\n").err,
            "--rho: expected one of --rho and --tensors, got both"));
  const auto for_people = plan("json = true\n", {"--json=false"});
  CHECK(for_people.status == 0);
  CHECK(has(for_people.out, "smallest feasible --rho"));

  struct Case {
    std::string toml, says;
    int status;
  };
  const std::vector<Case> cases = {{"tokans = 8\n", "did you mean tokens?", 2},
                                   {"[plan]\nbatch_size = 8\n", "did you mean batch-size?", 2},
                                   {"[plan]\nrho = 'much'\n", "--rho", 2},
                                   {"[paln]\ntokens = 8\n", "did you mean plan?", 2},
                                   {"[finetune]\nrhoo = 1\n", "did you mean rho?", 2},
                                   {"tokens = [1, 2]\n", "tokens", 2},
                                   {"tokens = = 8\n", "line 1", 1}};
  for (const auto& c : cases) {
    const auto outcome = plan(c.toml);
    CAPTURE(c.toml);
    CAPTURE(outcome.err);
    CHECK(outcome.status == c.status);
    CHECK(outcome.error_lines() == 1);
    CHECK(has(outcome.err, c.says));
    CHECK(has(outcome.err, "run.toml"));
  }
}
