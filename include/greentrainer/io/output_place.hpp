#pragma once

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// Where an output folder is, and where what makes it stands until it is whole.
struct OutputPlace {
  std::filesystem::path target;  ///< canonical
  /// The folder itself stays: files are moved into it one by one. So it is for a mount point (a container's volume),
  /// where the folder beside is not ours to write to, and for the current folder, which a shell would lose.
  bool inside = false;

  /// Names of the lock and of folders in the making begin with this one's, hidden: beside the target, or in it.
  std::filesystem::path base() const { return inside ? target / "greentrainer" : target; }
  /// Of saved states of runs: beside the target, or in it.
  std::filesystem::path states() const { return base().string() + ".states"; }
  std::filesystem::path folder() const { return base().parent_path(); }
  std::filesystem::path lock() const { return folder() / ("." + base().filename().string() + ".output-lock"); }
};

namespace detail {

/// Of mounts of the same file system, too (bind mounts), where the system tells.
inline bool is_mount_point(const std::filesystem::path& folder) {
#ifdef STATX_ATTR_MOUNT_ROOT
  struct statx extended {};
  if (::statx(AT_FDCWD, folder.c_str(), AT_NO_AUTOMOUNT, STATX_TYPE, &extended) == 0 &&
      (extended.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0) {
    return (extended.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  }
#endif
  struct stat own {
  }, parent{};
  return ::stat(folder.c_str(), &own) == 0 && ::stat((folder / "..").c_str(), &parent) == 0 &&
         own.st_dev != parent.st_dev;
}

/// A symbolic link stays one: what it points to is written. Of a link to nothing, the folder that it names is made if
/// the one around it is there: where it is not, a volume may not be mounted.
inline std::filesystem::path resolve_output(const std::filesystem::path& given) {
  std::error_code error;
  auto path = std::filesystem::absolute(given, error);
  if (!path.has_filename()) path = path.parent_path();
  if (given.empty() || error || !path.has_filename()) {
    throw SaveError("OutputFolder", text('"', given.string(), '"'), "expected the name of a folder to write, got none");
  }
  constexpr int most_links = 40;
  for (int links = 0; std::filesystem::is_symlink(std::filesystem::symlink_status(path, error)); ++links) {
    if (std::filesystem::exists(path, error)) break;
    auto next = path.parent_path() / std::filesystem::read_symlink(path, error);
    if (!next.has_filename()) next = next.parent_path();
    if (error || links == most_links) {
      throw SaveError("OutputFolder", given.string(), "expected a link to a folder, got one that leads to none");
    }
    if (!std::filesystem::is_directory(next.parent_path(), error)) {
      throw SaveError("OutputFolder", given.string(),
                      text("expected a link to a folder that can be made, got one to ", next.string(), ", and ",
                           next.parent_path().string(), " is not there; is a volume not mounted?"));
    }
    path = next;
  }
  path = std::filesystem::weakly_canonical(path, error);
  if (error || !path.has_filename()) {
    throw SaveError("OutputFolder", given.string(),
                    text("expected a path for a folder, got \"", error ? error.message() : path.string(), "\""));
  }
  return path;
}

}  // namespace detail

/// Finds out how `given` is to be written; `inside` asks for the folder to stay whatever it is. Throws SaveError for
/// what is no folder and cannot become one.
inline OutputPlace output_place(const std::filesystem::path& given, bool inside = false) {
  OutputPlace place{.target = detail::resolve_output(given), .inside = inside};
  std::error_code error;
  const auto status = std::filesystem::status(place.target, error);
  if (!std::filesystem::exists(status)) return place;
  if (!std::filesystem::is_directory(status)) {
    throw SaveError("OutputFolder", place.target.string(),
                    "expected a folder or nothing there, got a file; choose another output");
  }
  place.inside = inside || detail::is_mount_point(place.target) ||
                 std::filesystem::equivalent(place.target, ".", error) ||
                 ::access(place.target.parent_path().c_str(), W_OK | X_OK) != 0;
  return place;
}

}  // namespace greentrainer
