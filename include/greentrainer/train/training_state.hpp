#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/io/safetensors.hpp"
#include "greentrainer/io/safetensors_writer.hpp"
#include "greentrainer/train/run_identity.hpp"
#include "greentrainer/train/training_report.hpp"

namespace greentrainer {

/// The state of a run between two steps, without its tensors. docs/decisions/0024-a-run-can-be-saved-and-continued.md
struct TrainingState {
  RunIdentity identity;
  Extent next_step = 0;                   ///< from 0
  bool selection_made = false;            ///< the tensors that `next_step` trains have been chosen
  std::vector<std::string> selected;      ///< what is trained, or was until now; the optimizer has state of these
  std::vector<std::string> changed;       ///< what was ever trained: all others are as the run began
  std::map<std::string, Extent> updates;  ///< that the optimizer's state of a tensor has seen
  Extent cut = 0;                         ///< operator above the cached values; 0 without
  std::vector<std::size_t> cached;        ///< examples whose values the cache holds, ascending
  TrainingReport report;                  ///< so far
};

/// A run that is to be saved: what its folder will hold.
struct StateToWrite {
  std::shared_ptr<const TrainingState> state;
  std::vector<TensorToWrite> weights, optimizer, best;

  /// Of all tensors.
  Bytes bytes() const { return bytes_of(weights) + bytes_of(optimizer) + bytes_of(best); }
  /// The same with the tensors' bytes as they are now: the run may go on while these are written. Shares `state`.
  StateToWrite copied() const { return {state, copies_of(weights), copies_of(optimizer), copies_of(best)}; }

  static Bytes bytes_of(const std::vector<TensorToWrite>& tensors) {
    Bytes total = 0;
    for (const TensorToWrite& tensor : tensors) total += tensor.bytes();
    return total;
  }

 private:
  static std::vector<TensorToWrite> copies_of(const std::vector<TensorToWrite>& tensors) {
    std::vector<TensorToWrite> copies;
    for (const TensorToWrite& tensor : tensors) copies.push_back(tensor.copied());
    return copies;
  }
};

/// The folder of a saved run: state.json, weights.safetensors with the tensors that have changed, optimizer.safetensors
/// with the optimizer's of those that are trained, each called NAME.KIND, and best.safetensors with the best weights so
/// far of what has changed, where these are kept. A file without tensors is there, too.
struct StateFolder {
  static constexpr const char* state_file = "state.json";
  static constexpr const char* weights_file = "weights.safetensors";
  static constexpr const char* optimizer_file = "optimizer.safetensors";
  static constexpr const char* best_file = "best.safetensors";
  static constexpr const char* format = "greentrainer-training-state";
  static constexpr int format_version = 3;

  TrainingState state;
  SafetensorsFile weights, optimizer, best;

  /// Reads and checks all but the tensors' bytes, which are hashed alone. Throws LoadError naming what is missing,
  /// damaged, or not this program's.
  static StateFolder read(const std::filesystem::path& folder);

  /// Writes one, in place of a state that stood there. Throws SaveError; what stood there then still does.
  static void write(const std::filesystem::path& folder, StateToWrite run);
};

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/train/training_state_inl.hpp"
#endif
