#pragma once

// reader: train/state_json.hpp train/training_state_fields.hpp

#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/train/state_json.hpp"
#include "greentrainer/train/training_state.hpp"
#include "greentrainer/train/training_state_fields.hpp"

namespace greentrainer::fuzz {

/// The state.json of a saved run.
inline void training_state(std::string_view input) {
  const Json json = parse_json(input, "state.json");
  StateReader reader(json, "state.json");
  TrainingState state;
  fields(reader, state);
}

}  // namespace greentrainer::fuzz
