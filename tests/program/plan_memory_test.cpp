// greentrainer plan: memory limits, exact sums, the memory of measuring importances.

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/plan_command.hpp"
#include "support/golden_model.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("a memory limit is kept by computing again, and one that cannot be is refused with the smallest that can") {
  for (const auto& name : golden_names()) {
    CAPTURE(name);
    const std::vector<std::string> shape = {"--model", golden_model(name), "--batch-size", "4", "--tokens", "32"};
    const auto with = [&](const std::string& limit) {
      auto arguments = shape;
      arguments.insert(arguments.end(), {"--memory-limit", limit});
      return arguments;
    };
    const auto plain = plan(shape);
    CHECK(plain["recomputed"] == 0);
    auto too_little = with("1000");
    too_little.insert(too_little.begin(), "plan");
    const auto refused = run_program(too_little);
    CHECK(refused.status == 1);
    const std::string begin = "--memory-limit: expected at least ";
    const auto at = refused.err.find(begin);
    REQUIRE(at != std::string::npos);
    const std::string least = refused.err.substr(at + begin.size(), refused.err.find(" bytes", at) - at - begin.size());
    const auto limited = plan(with(least));
    CHECK(limited["memory_bytes"].get<Bytes>() <= std::stoll(least));
    CHECK(limited["memory_bytes"].get<Bytes>() < plain["memory_bytes"].get<Bytes>());
    CHECK(limited["recomputed"].get<Flops>() > 0);
    CHECK_FALSE(limited["recomputed_from"].empty());
    CHECK(plan(with(std::to_string(plain["memory_bytes"].get<Bytes>())))["recomputed"] == 0);
  }
  const auto published =
      run_program({"plan", "--model", golden_model("opt-pre"), "--cost-model", "paper", "--memory-limit", "1GiB"});
  CHECK(published.status == 2);
  CHECK(published.err.find("--memory-limit") != std::string::npos);
}

TEST_CASE("with exact sums a plan has passes of one example, and says what the sums take") {
  const std::vector<std::string> shape = {"--model", golden_model("llama-gqa-tied"), "--batch-size", "4", "--tokens",
                                          "32"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), shape.begin(), shape.end());
    return plan(more);
  };
  const Json fast = with({}), exact = with({"--gradient-sums", "exact"});
  CHECK(fast["memory_exact_sums_bytes"] == 0);
  CHECK(exact["memory_exact_sums_bytes"].get<Bytes>() >= 4 * exact["memory"]["gradients"].get<Bytes>());
  const Json one = plan({"--model", golden_model("llama-gqa-tied"), "--batch-size", "1", "--tokens", "32"});
  CHECK(exact["memory"]["activations"] == one["memory"]["activations"]);
  CHECK(exact["memory"]["activations"].get<Bytes>() < fast["memory"]["activations"].get<Bytes>());
  CHECK(exact["memory_importance_bytes"] == fast["memory_importance_bytes"]);  // of whole batches
  CHECK(exact["total"] == fast["total"]);
}

TEST_CASE("the memory of measuring importances is that of the metric") {
  const std::vector<std::string> shape = {"--model",     golden_model("llama-gqa-tied"), "--tokens", "32", "--tensors",
                                          "*.layers.1.*"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), shape.begin(), shape.end());
    return plan(more);
  };
  const auto bytes = [&](const char* metric) {
    return with({"--importance-metric", metric})["memory_importance_bytes"].get<Bytes>();
  };
  CHECK(with({})["importance_metric"] == "paper");
  CHECK(with({})["memory_importance_bytes"] == bytes("paper"));
  CHECK(bytes("first-order") < bytes("paper"));
  CHECK(bytes("gradient-norm") < bytes("first-order"));
  CHECK(bytes("random") < bytes("gradient-norm"));
  const Json stored = with({"--frozen-format", "bfloat16"});
  CHECK(stored["importance_metric"] == "first-order");
  auto paper = shape;
  paper.insert(paper.begin(), "plan");
  paper.insert(paper.end(), {"--frozen-format", "bfloat16", "--importance-metric", "paper"});
  const auto refused = run_program(paper);
  CHECK(refused.status == 2);
  CHECK(refused.err.find("--importance-metric: expected one that leaves weights as they are") != std::string::npos);
}

TEST_CASE("an optimizer's state is planned: two numbers a weight, one, none, or one for each row and column") {
  const auto with = [](const char* optimizer) {
    return plan({"--model", golden_model("llama-gqa-tied"), "--tokens", "32", "--optimizer", optimizer});
  };
  const auto of = [&](const char* optimizer) { return with(optimizer)["memory"]["optimizer"].get<Bytes>(); };
  const Bytes gradients = with("adamw")["memory"]["gradients"].get<Bytes>();
  CHECK(plan({"--model", golden_model("llama-gqa-tied"), "--tokens", "32"}) == with("adamw"));
  CHECK(of("adamw") == 2 * gradients);
  CHECK(of("lion") == gradients);
  CHECK(of("rmsprop") == gradients);
  CHECK(of("adagrad") == gradients);
  CHECK(of("sgd") == 0);
  CHECK(of("adafactor") > 0);
  CHECK(of("adafactor") < gradients / 4);
  CHECK(run_program({"plan", "--model", golden_model("llama-gqa-tied"), "--optimizer", "adam"}).status == 2);
}
