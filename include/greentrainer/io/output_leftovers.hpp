#pragma once

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "greentrainer/io/put_in_place.hpp"

namespace greentrainer::detail {

/// A folder that a run of the same output left when it was killed, by its name.
struct Leftover {
  std::filesystem::path path;
  pid_t process = 0;
  bool moved_aside = false;  ///< "old": it stood at the target
  std::optional<FolderManifest> manifest = {};
  std::string unreadable = {};                ///< why the manifest, which is there, could not be read
  std::filesystem::file_time_type written{};  ///< its manifest
};

/// A file that a killed process was writing a manifest to.
inline std::optional<pid_t> process_of_manifest(const std::filesystem::path& file) {
  return process_in(file.filename().string(), text('.', FolderManifest::file_name, ".tmp-"));
}

inline std::optional<Leftover> leftover_of(const OutputPlace& place, const std::filesystem::path& path) {
  const std::string name = path.filename().string(), front = "." + place.base().filename().string();
  const auto fresh = process_in(name, front + ".tmp-"), old = process_in(name, front + ".old-");
  std::error_code error;
  if ((!fresh && !old) || !std::filesystem::is_directory(std::filesystem::symlink_status(path, error)))
    return std::nullopt;
  Leftover leftover{.path = path, .process = fresh ? *fresh : *old, .moved_aside = !fresh};
  leftover.manifest = FolderManifest::read(path, &leftover.unreadable);
  leftover.written = std::filesystem::last_write_time(path / FolderManifest::file_name, error);
  return leftover;
}

/// Whether a process was killed before it had written more than a part of the manifest.
inline bool has_nothing_yet(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    if (!process_of_manifest(entry->path())) return false;
  }
  return !error;
}

/// Whether the files of a written folder are all there; where they are being moved into the target, there or in it.
inline bool has_all_files(const Leftover& leftover, const std::filesystem::path& target, bool moving) {
  return std::ranges::all_of(leftover.manifest->files, [&](const auto& file) {
    return leftover.manifest->lists(leftover.path, file.first) ||
           (moving && leftover.manifest->lists(target, file.first));
  });
}

/// What is done about one leftover, in words.
inline std::string settle(const OutputPlace& place, const std::vector<std::string>& among_others,
                          const Leftover& leftover) {
  using State = FolderManifest::State;
  const auto& target = place.target;
  const std::string name = leftover.path.string();
  const auto left = [&](std::string_view why) { return text(name, ": left as it is; ", why); };
  std::error_code error;
  const auto restore = [&] {
    std::filesystem::rename(leftover.path, target, error);
    if (error) return left(error.message());
    sync_folder(target.parent_path());
    return text(name, ": moved back to ", target.string(), ", which a killed run had moved it from");
  };
  const auto removed = [&] {
    return is_there(leftover.path)
               ? left("it has files that this program did not write, or that cannot be removed; remove it yourself")
               : text(name, ": removed; a killed run had left it");
  };
  if (!leftover.manifest) {
    if (has_nothing_yet(leftover.path)) {
      std::filesystem::remove_all(leftover.path, error);
      return removed();
    }
    if (leftover.moved_aside && !is_there(target)) return restore();
    if (!leftover.unreadable.empty())
      return left(text("its list could not be read, a later run looks at it again: ", leftover.unreadable));
    return left("nothing in it says that this version of the program wrote it; remove it yourself");
  }
  if (leftover.manifest->state == State::writing) {
    remove_unfinished(leftover.path);
    return removed();
  }
  const bool moving = is_there(target / incomplete_marker);
  const bool whole = has_all_files(leftover, target, moving);
  if (leftover.manifest->state == State::replaced) {
    if (whole && !is_there(target)) return restore();
  } else if (whole) {
    const StagedFolder staged{.staging = leftover.path, .place = place, .among_others = among_others};
    if (!moving && !others_at(staged, 1).empty())
      return left(text("it is the whole result of a run, but ", target.string(), " has files of others"));
    put_in_place(staged);
    return text(name, ": the whole result of a run that was killed at its end; it is now at ", target.string());
  } else if (moving) {
    return left("a run was killed while it moved the files into place, and some are missing");
  }
  remove_listed(leftover.path, *leftover.manifest);
  return removed();
}

/// Settles what killed runs of this output have left, oldest first: finished results are put in place, what stood at a
/// target that is gone is moved back, the rest is removed if this program wrote it. Nothing else is touched. To be
/// called under the output's lock; `locked` is false where the file system has none. Tells the user what was done.
inline void settle_leftovers(const OutputPlace& place, const std::vector<std::string>& among_others, bool locked,
                             const std::function<void(const std::string&)>& tell) {
  std::vector<Leftover> leftovers;
  std::error_code error;
  std::filesystem::directory_iterator entry(place.folder(), error), end;
  for (; !error && entry != end; entry.increment(error)) {
    if (auto leftover = leftover_of(place, entry->path())) leftovers.push_back(std::move(*leftover));
  }
  if (error)
    tell(text(place.folder().string(), ": what killed runs may have left is not looked for, got \"", error.message(),
              "\""));
  const auto may_run = [&](pid_t process) { return !locked && (::kill(process, 0) == 0 || errno == EPERM); };
  for (entry = std::filesystem::directory_iterator(place.target, error); !error && entry != end;
       entry.increment(error)) {
    const auto process = process_of_manifest(entry->path());
    if (process && !may_run(*process) && entry->symlink_status().type() == std::filesystem::file_type::regular)
      std::filesystem::remove(entry->path(), error);
  }
  std::ranges::sort(leftovers, {}, [](const Leftover& l) { return std::pair(l.written, l.path); });
  for (const Leftover& leftover : leftovers) {
    if (may_run(leftover.process))
      tell(text(leftover.path.string(), ": left as it is; process ", leftover.process, " may write to it"));
    else
      tell(settle(place, among_others, leftover));
  }
}

}  // namespace greentrainer::detail
