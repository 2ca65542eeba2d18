#pragma once

// reader: train/state_json.hpp train/training_state_fields.hpp

#include <cstdlib>
#include <string>
#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/train/state_json.hpp"
#include "greentrainer/train/training_state.hpp"
#include "greentrainer/train/training_state_fields.hpp"
#include "support/written_state.hpp"

namespace greentrainer::fuzz {

inline TrainingState state_of(std::string_view input) {
  const Json json = parse_json(input, "state.json");
  StateReader reader(json, "state.json");
  TrainingState state;
  fields(reader, state);
  return state;
}

/// The state.json of a saved run. What is read is written, and reads back as the same.
inline void training_state(std::string_view input) {
  const std::string once = testing::written(state_of(input));
  if (testing::written(state_of(once)) != once) std::abort();
}

}  // namespace greentrainer::fuzz
