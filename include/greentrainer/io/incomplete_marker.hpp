#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// Stands in a folder while its files are replaced one by one, for then old and new ones are mixed.
inline constexpr std::string_view incomplete_marker = "greentrainer-incomplete.txt";

inline constexpr std::string_view incomplete_marker_text =
    "The files of this folder are being replaced by greentrainer. While this file is here, old and new ones are\n"
    "mixed. If no run is on, one was stopped in the middle: the next run with this folder as output goes on.\n";

/// Throws LoadError for a folder whose files are being replaced, or were when a run was stopped.
inline void expect_complete_folder(std::string_view where, const std::filesystem::path& folder) {
  std::error_code error;
  if (!std::filesystem::exists(std::filesystem::symlink_status(folder / incomplete_marker, error))) return;
  throw LoadError(where, folder.string(),
                  text("expected a whole folder, got one whose files were being replaced (", incomplete_marker,
                       " in it); the next run with this output goes on with that"));
}

}  // namespace greentrainer
