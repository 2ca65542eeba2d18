#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "greentrainer/io/incomplete_marker.hpp"
#include "greentrainer/io/output_folder.hpp"
#include "greentrainer/io/safetensors.hpp"
#include "greentrainer/io/safetensors_writer.hpp"
#include "greentrainer/train/run_identity.hpp"
#include "greentrainer/train/state_json.hpp"

namespace greentrainer {

/// All that a run is between two steps, but for its tensors. docs/decisions/0024-a-run-can-be-saved-and-continued.md
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

/// The folder of a saved run: state.json, weights.safetensors with the tensors that have changed, optimizer.safetensors
/// with the optimizer's of those that are trained, each called NAME.KIND, and best.safetensors with the best weights so
/// far of what has changed, where these are kept. A file without tensors is there, too.
struct StateFolder {
  static constexpr const char* state_file = "state.json";
  static constexpr const char* weights_file = "weights.safetensors";
  static constexpr const char* optimizer_file = "optimizer.safetensors";
  static constexpr const char* best_file = "best.safetensors";
  static constexpr const char* format = "greentrainer-training-state";
  static constexpr int format_version = 2;

  TrainingState state;
  SafetensorsFile weights, optimizer, best;

  /// Reads and checks all but the tensors' bytes, which are hashed alone. Throws LoadError naming what is missing,
  /// damaged, or not this program's.
  static StateFolder read(const std::filesystem::path& folder) {
    expect_complete_folder("load", folder);
    const auto manifest = FolderManifest::read(folder);
    if (!manifest) {
      throw LoadError("load", folder.string(),
                      text("expected a saved training state, got a folder without ", FolderManifest::file_name));
    }
    for (const char* name : {state_file, weights_file, optimizer_file, best_file}) {
      if (manifest->lists(folder, name)) continue;
      throw LoadError("load", (folder / name).string(),
                      text("expected the file that ", FolderManifest::file_name,
                           " lists, got none or another one; the state is damaged, take an earlier one"));
    }
    const std::string source = (folder / state_file).string();
    const Json json = read_json_file(folder / state_file);
    if (!json.is_object() || !json.contains("format") || json["format"] != format)
      throw LoadError("load", source, text("expected format ", format, ", got something else"));
    if (!json.contains("version") || json["version"] != format_version) {
      throw LoadError(
          "load", source,
          text("expected version ", format_version, ", got another; continue with the program that saved it"));
    }
    TrainingState state;
    StateReader archive(json, source);
    fields(archive, state);
    return {std::move(state), SafetensorsFile(folder / weights_file), SafetensorsFile(folder / optimizer_file),
            SafetensorsFile(folder / best_file)};
  }

  /// Writes one, in place of a state that stood there. Throws SaveError; what stood there then still does.
  static void write(const std::filesystem::path& folder, const TrainingState& state, std::vector<TensorToWrite> weights,
                    std::vector<TensorToWrite> optimizer, std::vector<TensorToWrite> best) {
    Json json = StateWriter::json_of(state);
    json["format"] = format;
    json["version"] = format_version;
    const std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace) + '\n';
    OutputFolder output(folder);
    const Bytes of_weights = bytes_of(weights), of_optimizer = bytes_of(optimizer), of_best = bytes_of(best);
    output.expect_room(of_weights + of_optimizer + of_best + static_cast<Bytes>(text.size()),
                       std::max({of_weights, of_optimizer, of_best}));
    write_safetensors(output.path() / weights_file, std::move(weights));
    write_safetensors(output.path() / optimizer_file, std::move(optimizer));
    write_safetensors(output.path() / best_file, std::move(best));
    atomic_write_file(output.path() / state_file, text);
    output.commit();
  }

 private:
  static Bytes bytes_of(const std::vector<TensorToWrite>& tensors) {
    Bytes total = 0;
    for (const TensorToWrite& tensor : tensors) {
      const auto element = safetensors_element_size(tensor.dtype_name).value_or(0);
      total += static_cast<Bytes>(checked_bytes(tensor.shape, element).value_or(0));
    }
    return total;
  }
};

}  // namespace greentrainer
