#pragma once

#include <algorithm>
#include <system_error>
#include <utility>

#include "greentrainer/io/folder_manifest.hpp"
#include "greentrainer/io/incomplete_marker.hpp"
#include "greentrainer/io/output_folder.hpp"
#include "greentrainer/train/training_state.hpp"
#include "greentrainer/train/training_state_fields.hpp"

namespace greentrainer {

GREENTRAINER_INLINE StateFolder StateFolder::read(const std::filesystem::path& folder) {
  expect_complete_folder("load", folder);
  const auto manifest = FolderManifest::read(folder);
  if (!manifest) {
    throw LoadError("load", folder.string(),
                    text("expected a saved training state, got a folder without ", FolderManifest::file_name));
  }
  for (const char* name : {state_file, weights_file, optimizer_file, best_file}) {
    const auto listed = manifest->files.find(name);
    std::error_code error;
    const bool is_there = std::filesystem::is_regular_file(std::filesystem::symlink_status(folder / name, error));
    // What cannot be read throws what the system said: that is no damage.
    if (listed != manifest->files.end() && is_there && sha256_of_file(folder / name) == listed->second.sha256) continue;
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

GREENTRAINER_INLINE void StateFolder::write(const std::filesystem::path& folder, StateToWrite run) {
  const std::string written_format = format;
  const Extent written_version = format_version;
  StateWriter json;
  fields(json, const_cast<TrainingState&>(*run.state));  // a writer reads alone
  json("format", written_format);
  json("version", written_version);
  Bytes text_size = 1;
  json.write([&](std::string_view piece) { text_size += static_cast<Bytes>(piece.size()); });
  OutputFolder output(folder);
  const Bytes largest = std::max(
      {StateToWrite::bytes_of(run.weights), StateToWrite::bytes_of(run.optimizer), StateToWrite::bytes_of(run.best)});
  output.expect_room(run.bytes() + text_size, largest);
  write_safetensors(output.path() / weights_file, std::move(run.weights));
  write_safetensors(output.path() / optimizer_file, std::move(run.optimizer));
  write_safetensors(output.path() / best_file, std::move(run.best));
  atomic_write_pieces(output.path() / state_file, [&](const TextSink& sink) {
    json.write(sink);
    sink("\n");
  });
  output.commit();
}

}  // namespace greentrainer
