#pragma once

#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <vector>

#include "greentrainer/io/folder_manifest.hpp"
#include "greentrainer/io/incomplete_marker.hpp"
#include "greentrainer/io/output_place.hpp"

namespace greentrainer::detail {

inline bool is_there(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::symlink_status(path, error));
}

/// A folder that is written and on disk, with its manifest, and what it is to replace.
struct StagedFolder {
  std::filesystem::path staging;
  OutputPlace place;
  bool overwrite = false;                 ///< a user's files go as well
  std::vector<std::string> among_others;  ///< see OutputOptions
  FolderManifest::Seen* seen = nullptr;   ///< of the target's files
};

/// Names at the top of the target that are neither a user's nor part of the output: what makes it, when that stands
/// inside, and what the file system keeps there.
inline std::set<std::string> passed_over(const OutputPlace& place, const std::filesystem::path& staging) {
  if (!place.inside) return {};
  return {staging.filename().string(), place.lock().filename().string(), place.states().filename().string(),
          "lost+found"};
}

/// What stands at the target and would be lost, but is not this program's: at most `most` names.
inline std::vector<std::string> others_at(const StagedFolder& staged, std::size_t most) {
  const auto& target = staged.place.target;
  if (!is_there(target)) return {};
  const auto manifest = FolderManifest::read(target).value_or(FolderManifest{});
  if (staged.among_others.empty())
    return manifest.others(target, most, passed_over(staged.place, staged.staging), staged.seen);
  std::vector<std::string> found;
  for (const std::string& name : staged.among_others) {
    if (is_there(target / name) && !manifest.lists(target, name, staged.seen)) found.push_back(name);
  }
  return found;
}

[[noreturn]] inline void fail_output(const std::filesystem::path& target, std::string_view expected,
                                     std::error_code error) {
  throw SaveError("OutputFolder", target.string(), text(expected, ", got \"", error.message(), "\""));
}

/// Forces a folder with all that is in it to disk. Throws SaveError.
inline void sync_tree(const std::filesystem::path& folder) {
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->is_directory()) {
      sync_folder(entry->path());
      continue;
    }
    const FileDescriptor file(uninterrupted([&] { return ::open(entry->path().c_str(), O_RDONLY | O_CLOEXEC); }));
    if (!file || !sync_file(file))
      fail_output(entry->path(), "expected to force it to disk", {errno, std::generic_category()});
  }
  if (error) fail_output(folder, "expected to list its files", error);
  sync_folder(folder);
}

/// Gives `staging` the target's name: in one step, where the system can exchange two names. `displaced` is where the
/// older folder stands then, if there was one.
inline std::error_code swap_folders(const std::filesystem::path& staging, const std::filesystem::path& target,
                                    std::filesystem::path& displaced) {
  std::error_code error;
  if (!is_there(target) || std::filesystem::is_empty(target, error)) {
    std::filesystem::rename(staging, target, error);  // an empty folder gives way
    return error;
  }
#ifdef RENAME_EXCHANGE
  if (::renameat2(AT_FDCWD, staging.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    displaced = staging;
    return {};
  }
  if (errno != ENOSYS && errno != EINVAL && errno != ENOTSUP) return {errno, std::generic_category()};
#endif
  const auto aside = sibling_of(target, "old");
  std::filesystem::rename(target, aside, error);
  if (error) return error;
  std::filesystem::rename(staging, target, error);
  if (error) {
    std::error_code ignored;
    std::filesystem::rename(aside, target, ignored);
    return error;
  }
  displaced = aside;
  return {};
}

/// Takes a swap back that could not be forced to disk.
inline void unswap_folders(const std::filesystem::path& staging, const std::filesystem::path& target,
                           const std::filesystem::path& displaced) {
  std::error_code ignored;
  std::filesystem::path other;
  if (displaced == staging) {
    swap_folders(staging, target, other);
    return;
  }
  std::filesystem::rename(target, staging, ignored);
  if (!displaced.empty()) std::filesystem::rename(displaced, target, ignored);
}

/// Moves one file of the staged folder into the target. A folder or link of the same name gives way if it may.
inline void move_file_in(const StagedFolder& staged, const std::string& name) {
  const auto from = staged.staging / name, to = staged.place.target / name;
  if (!is_there(from)) return;  // moved before a crash
  std::error_code error;
  if (std::filesystem::is_directory(std::filesystem::symlink_status(to, error)) && staged.overwrite)
    std::filesystem::remove_all(to, error);
  std::filesystem::rename(from, to, error);
  if (error) fail_output(staged.place.target, text("expected to put ", name, " in place"), error);
}

/// What the target had and the new folder has not: the program's own files, or with `overwrite` all.
inline void remove_older_files(const StagedFolder& staged, const FolderManifest& older,
                               const FolderManifest& manifest) {
  const auto& target = staged.place.target;
  std::error_code ignored;
  if (staged.overwrite && staged.among_others.empty()) {
    const std::set<std::string> own = passed_over(staged.place, staged.staging);
    std::vector<std::filesystem::path> gone;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(target, ignored)) {
      const std::string name = entry.path().lexically_relative(target).generic_string();
      if (own.contains(name.substr(0, name.find('/'))) || name == FolderManifest::file_name ||
          name == incomplete_marker || manifest.files.contains(name) || manifest.folders.contains(name)) {
        continue;
      }
      gone.push_back(entry.path());
    }
    for (const auto& path : gone) std::filesystem::remove_all(path, ignored);
    return;
  }
  FolderManifest rest = older;
  for (const auto& [name, file] : manifest.files) rest.files.erase(name);
  for (const auto& [name, file] : rest.files) {
    if (rest.lists(target, name, staged.seen)) std::filesystem::remove(target / name, ignored);
  }
  for (auto name = rest.folders.rbegin(); name != rest.folders.rend(); ++name) {
    if (!manifest.folders.contains(*name) && stands_in(target, *name) &&
        std::filesystem::is_directory(std::filesystem::symlink_status(target / *name, ignored)))
      std::filesystem::remove(target / *name, ignored);  // only if it is empty
  }
}

/// Moves the staged files into a target that cannot be renamed. Until all are there a marker says that the folder is a
/// mixture; what is read first comes last. Called again after a crash, it goes on where it was.
inline void move_files_in(const StagedFolder& staged) {
  const auto& target = staged.place.target;
  constexpr std::array<std::string_view, 2> last = {"config.json", "adapter_config.json"};
  const auto is_last = [&](const std::string& name) { return name == last[0] || name == last[1]; };
  const auto manifest = FolderManifest::read(staged.staging);
  if (!manifest)
    fail_output(target, "expected the files to put in place",
                std::make_error_code(std::errc::no_such_file_or_directory));
  std::error_code error;
  if (!is_there(target / incomplete_marker)) {
    atomic_write_file(staged.staging / incomplete_marker, incomplete_marker_text);
    std::filesystem::rename(staged.staging / incomplete_marker, target / incomplete_marker, error);
    if (error) fail_output(target, "expected to mark it as incomplete", error);
    sync_folder(target);
  }
  for (const std::string_view name : last) {
    // So that no other program reads the mixture.
    if (is_there(staged.staging / name)) std::filesystem::remove(target / name, error);
  }
  for (const std::string& name : manifest->folders) {
    const auto folder = target / name;
    if (std::filesystem::is_directory(std::filesystem::symlink_status(folder, error))) continue;
    if (staged.overwrite) std::filesystem::remove(folder, error);
    if (is_there(folder))  // a file, or a link that leads elsewhere
      error = std::make_error_code(std::errc::not_a_directory);
    else
      std::filesystem::create_directory(folder, error);
    if (error) fail_output(target, text("expected to create folder ", name), error);
  }
  for (const auto& [name, file] : manifest->files) {
    if (!is_last(name)) move_file_in(staged, name);
  }
  // Once the older manifest is gone, nothing tells the older files from a user's.
  if (is_there(staged.staging / FolderManifest::file_name))
    remove_older_files(staged, FolderManifest::read(target).value_or(FolderManifest{}), *manifest);
  for (const auto& [name, file] : manifest->files) {
    if (is_last(name)) move_file_in(staged, name);
  }
  for (const std::string& name : manifest->folders) sync_folder(target / name);
  sync_folder(target);
  manifest->write(target);
  std::filesystem::remove(target / incomplete_marker, error);
  if (error) fail_output(target, text("expected to remove ", incomplete_marker), error);
  sync_folder(target);
  remove_listed(staged.staging, *manifest);
}

/// Puts a staged folder where it belongs. The older one is kept until then, and where it cannot be done in one step,
/// what was begun is gone on with after a crash. Throws SaveError; nothing has changed then, or the target is marked as
/// incomplete. Returns what to tell the user.
inline std::vector<std::string> put_in_place(const StagedFolder& staged) {
  const auto& target = staged.place.target;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(staged.staging, ignored)) {
    // A run was killed as it wrote the marker.
    if (process_in(entry.path().filename().string(), text('.', incomplete_marker, ".tmp-")))
      std::filesystem::remove(entry.path(), ignored);
  }
  if (staged.place.inside || is_there(target / incomplete_marker)) {
    move_files_in(staged);
    return {};
  }
  auto older = FolderManifest::read(target);
  if (!older && !staged.overwrite && is_there(target / FolderManifest::file_name))
    fail_output(target, text("expected to read ", FolderManifest::file_name),
                std::make_error_code(std::errc::io_error));
  if (older) {
    older->state = FolderManifest::State::replaced;
    older->write(target);
  }
  struct stat status {};
  if (::stat(target.c_str(), &status) == 0) ::chmod(staged.staging.c_str(), status.st_mode & 07777);
  std::filesystem::path displaced;
  const std::error_code error = swap_folders(staged.staging, target, displaced);
  if (error) {
    for (const auto fixed : {std::errc::device_or_resource_busy, std::errc::cross_device_link,
                             std::errc::operation_not_permitted, std::errc::permission_denied}) {
      if (error != fixed || !std::filesystem::is_directory(target)) continue;
      move_files_in(staged);  // the folder cannot be renamed, its files perhaps can
      return {};
    }
    fail_output(target, "expected to put the folder in place", error);
  }
  try {
    sync_folder(target.parent_path());
  } catch (const SaveError&) {
    unswap_folders(staged.staging, target, displaced);
    throw;
  }
  if (displaced.empty()) return {};
  if (staged.overwrite)
    std::filesystem::remove_all(displaced, ignored);
  else if (older)
    remove_listed(displaced, *older, staged.seen);
  if (!is_there(displaced)) return {};
  return {text(displaced.string(), ": what stood in ", target.filename().string(),
               " and could not be removed, or was put there just now, is left here")};
}

}  // namespace greentrainer::detail
