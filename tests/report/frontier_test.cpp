// What a frontier says of methods and controls, on made-up numbers.

#include "greentrainer/report/frontier.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace greentrainer;

namespace {

std::vector<std::string> names_of(const std::vector<ComparedMethod>& methods) {
  std::vector<std::string> names;
  for (const ComparedMethod& m : methods) names.push_back(m.name);
  return names;
}

const ComparedMethod full{"full", 10, 0.42, 0.03}, green{"green", 5.9, 0.30, 0.01},
    fewer{"full, fewer steps", 5.0, 0.38, 0.02, true}, lora{"LoRA, smaller batches", 5.3, 0.43, 0.002, true};

}  // namespace

TEST_CASE("the frontier has the methods that nothing beats at their cost, from the cheapest") {
  CHECK(names_of(Frontier({full, green, fewer, lora}, false).line()) == std::vector{fewer.name, lora.name});
  // The smaller the better: all but the cheapest of the best are then beaten.
  CHECK(names_of(Frontier({full, green, fewer, lora}, true).line()) == std::vector{fewer.name, green.name});
  const ComparedMethod twin{"twin", 5.3, 0.43};
  CHECK(names_of(Frontier({lora, twin}, false).line()) == std::vector{lora.name, twin.name});
  const ComparedMethod dearer{"dearer", 5.4, 0.43};
  CHECK(names_of(Frontier({lora, dearer}, false).line()) == std::vector{lora.name});
  CHECK(Frontier({}, false).line().empty());
  CHECK(Frontier({}, false).words("f1", 1, "TFLOPs").empty());
}

TEST_CASE("the words say which methods are beaten by a control, by how much, and where the spread hides it") {
  const auto words = Frontier({full, green, fewer, lora}, false).words("f1", 1, "TFLOPs");
  REQUIRE(words.size() == 3);  // the frontier, and both methods that are no controls
  CHECK(words[0] ==
        "No method has a better f1 for as few FLOPs as these, from the cheapest: full, fewer steps; LoRA, smaller "
        "batches.");
  CHECK(words[1] ==
        "full is beaten by the control LoRA, smaller batches: f1 0.43 ± 0.002 against 0.42 ± 0.03, for 5.3 against 10 "
        "TFLOPs; within the spread over seeds.");
  CHECK(words[2] ==
        "green is beaten by the control LoRA, smaller batches: f1 0.43 ± 0.002 against 0.3 ± 0.01, for 5.3 against 5.9 "
        "TFLOPs.");

  const ComparedMethod better{"better", 5.25, 0.5, 0.01}, one_seed{"one seed", 5.25, 0.1}, cheap{"cheap", 1, 0.1, 0.1};
  const auto others = Frontier({better, one_seed, cheap, fewer, lora}, false).words("f1", 1, "TFLOPs");
  REQUIRE(others.size() == 4);
  CHECK(others[1] ==
        "better beats the controls that cost no more, the best of which is LoRA, smaller batches: f1 0.43 ± 0.002 "
        "against 0.5 ± 0.01, for 5.3 against 5.25 TFLOPs.");  // a cost within 2% is the same
  CHECK(others[2] ==
        "one seed is beaten by the control LoRA, smaller batches: f1 0.43 ± 0.002 against 0.1, for 5.3 against 5.25 "
        "TFLOPs; one seed, so that the spread is not known.");
  CHECK(others[3] == "cheap has no control beside it: all cost more.");

  const auto losses = Frontier({green, fewer}, true).words("loss", 0.5, "units");  // a loss of 0.30 is the better one
  CHECK(losses[1] ==
        "green beats the controls that cost no more, the best of which is full, fewer steps: loss 0.38 ± 0.02 "
        "against 0.3 ± 0.01, for 10 against 11.8 units.");
  CHECK(Frontier({full, green}, false).words("f1", 1, "TFLOPs").size() == 1);  // no controls, nothing to say of them
}
