// finetune and plan: tensors chosen by a concave worth of their blocks.

#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "program/run_program.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("plan chooses from more blocks where worth is concave, within the same ratio") {
  const TemporaryFolder folder;
  const std::string model = golden_model("opt-pre");
  // What lies in the upper of two blocks is worth twice as much as anything in the lower.
  Json importance = Json::object();
  const Json prices = run_program({"plan", "--json", "--model", model}).json();
  for (const auto& tensor : prices["tensors"]) {
    const std::string name = tensor["name"];
    importance[name] = name.find("layers.") == std::string::npos ? 0.0
                       : name.find("layers.1.") != name.npos     ? 2.0
                                                                 : 1.0;
  }
  const std::string file = folder.write("importance.json", importance.dump()).string();
  const auto chosen = [&](const std::string& worth) {
    const Outcome outcome = run_program(
        {"plan", "--json", "--model", model, "--rho", "0.7", "--tokens", "24", "--importance", file, "--worth", worth});
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    const Json report = outcome.json();
    CHECK(report["ratio"].get<double>() <= 0.7);
    std::set<std::string> names;
    for (const auto& name : report["selection"]) names.insert(name.get<std::string>());
    return names;
  };
  const auto additive = chosen("additive"), root = chosen("square-root");
  const auto in_upper = [](const std::set<std::string>& names) {
    int count = 0;
    for (const std::string& name : names) count += name.find("layers.1.") != name.npos ? 1 : 0;
    return count;
  };
  CHECK(in_upper(root) < in_upper(additive));
  CHECK(in_upper(chosen("saturating")) < in_upper(additive));
  CHECK(in_upper(root) > 0);
}

TEST_CASE("finetune trains by any worth, and worth is refused where nothing is chosen by it") {
  const TemporaryFolder folder;
  const std::string model = golden_model("opt-pre"),
                    data = folder.write("train.jsonl", golden_rows("opt-pre")).string();
  int outputs = 0;
  const auto finetune = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"finetune", "--json", "--model", model, "--train", data, "--batch-size", "1", "--steps",
                               "2", "--output", (folder / std::to_string(outputs++)).string()});
    return run_program(std::move(more));
  };
  for (const char* worth : {"additive", "square-root", "saturating"}) {
    CAPTURE(worth);
    const Outcome outcome = finetune({"--rho", "0.8", "--importance", "fisher", "--worth", worth});
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    const Json selection = outcome.json()["selections"][0];
    CHECK(selection["optimal"] == true);
    CHECK(selection["cost"].get<std::int64_t>() <= selection["budget"].get<std::int64_t>());
    CHECK(selection["names"].size() > 0);
  }
  const auto refused = [](const Outcome& outcome, const char* why) {
    CAPTURE(outcome.err);
    CHECK(outcome.status == 2);
    CHECK(has(outcome.err, why));
  };
  refused(finetune({"--method", "full", "--worth", "square-root"}),
          "--worth: expected not to be given with --method full");
  refused(finetune({"--importance", "adam-gain", "--optimizer", "sgd"}),
          "--importance: expected another than adam-gain with --optimizer sgd");
  refused(finetune({"--worth", "root"}), "--worth: expected additive, square-root or saturating, got root");
  refused(run_program({"plan", "--model", model, "--worth", "square-root"}), "--worth: expected --rho beside it");
  refused(run_program({"plan", "--model", model, "--worth", "square-root", "--cost-model", "paper"}),
          "--worth: expected not to be given with --cost-model paper");
}
