#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "program/run_program.hpp"

namespace greentrainer::testing {

/// Runs greentrainer finetune on a tiny model, each time on the same rows, in a folder of its own.
struct TinyRun {
  TemporaryFolder folder;
  std::string data = folder.write("train.jsonl", golden_rows("opt-pre")).string();
  std::string output = (folder / "tuned").string();

  std::vector<std::string> arguments(std::vector<std::string> more) const {
    more.insert(more.begin(), {"finetune", "--json", "--model", golden_model("opt-pre"), "--train", data,
                               "--batch-size", "2", "--learning-rate", "0.003"});
    if (std::find(more.begin(), more.end(), "--output") == more.end()) more.insert(more.end(), {"--output", output});
    return more;
  }
  Json report(std::vector<std::string> more) const {
    const auto outcome = run_program(arguments(std::move(more)));
    CAPTURE(outcome.err);
    REQUIRE(outcome.status == 0);
    return outcome.json();
  }
};

}  // namespace greentrainer::testing
