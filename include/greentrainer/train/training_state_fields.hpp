#pragma once

#include "greentrainer/train/state_json.hpp"
#include "greentrainer/train/training_state.hpp"

namespace greentrainer {

template <class Archive>
void fields(Archive& archive, TrainingState& s) {
  archive("identity", s.identity);
  archive("next_step", s.next_step);
  archive("selection_made", s.selection_made);
  archive("selected", s.selected);
  archive("changed", s.changed);
  archive("updates", s.updates);
  archive("cut", s.cut);
  archive("cached", s.cached);
  archive("report", s.report);
}

}  // namespace greentrainer
