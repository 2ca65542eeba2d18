#pragma once

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <system_error>
#include <utility>

#include "greentrainer/io/output_folder.hpp"
#include "greentrainer/io/output_leftovers.hpp"
#include "greentrainer/io/output_lock.hpp"

namespace greentrainer {

namespace detail {

/// Folders around an output that were made for it, removed again while they are empty.
class CreatedFolders {
 public:
  explicit CreatedFolders(const OutputPlace& place) : CreatedFolders() {
    if (const auto error = create(place.folder()))
      fail_output(place.target, text("expected to create ", place.folder().string()), error);
  }
  CreatedFolders(const CreatedFolders&) = delete;
  CreatedFolders& operator=(const CreatedFolders&) = delete;
  ~CreatedFolders() {
    std::error_code ignored;
    for (auto folder = created_.rbegin(); folder != created_.rend(); ++folder)
      std::filesystem::remove(*folder, ignored);
  }

 private:
  CreatedFolders() = default;  // complete from here on: what the other constructor made is removed if it throws

  std::error_code create(const std::filesystem::path& folder) {
    std::error_code error;
    if (std::filesystem::is_directory(folder, error)) return {};
    if (folder.has_relative_path()) {
      if (const auto failed = create(folder.parent_path())) return failed;
    }
    if (std::filesystem::create_directory(folder, error)) created_.push_back(folder);
    return error;
  }

  std::vector<std::filesystem::path> created_;
};

}  // namespace detail

/// All of an output folder: the place, its lock, and what is being written.
class OutputFolder::Parts {
 public:
  Parts(const std::filesystem::path& target, OutputOptions options)
      : options_(std::move(options)),
        place_(output_place(target, !options_.among_others.empty())),
        created_(place_),
        lock_(place_.lock(), place_.target.string()) {
    detail::settle_leftovers(place_, options_.among_others, lock_.held(), [&](const auto& line) { tell(line); });
    check_replaceable();
    std::error_code error;
    do {  // a process of the same number may have left one
      staging_ = detail::sibling_of(place_.base(), "tmp");
    } while (!std::filesystem::create_directory(staging_, error) && !error);
    if (error) detail::fail_output(place_.target, "expected to create a folder to write it in", error);
    try {
      FolderManifest{}.write(staging_);
    } catch (...) {
      detail::remove_unfinished(staging_);
      throw;
    }
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  ~Parts() {
    if (committed_) return;
    try {
      const bool moving = detail::is_there(place_.target / incomplete_marker);  // the next run goes on with it
      if (!moving) detail::remove_unfinished(staging_);
    } catch (...) {  // no memory: the next run removes it
    }
  }

  const std::filesystem::path& path() const { return staging_; }

  const std::filesystem::path& target() const { return place_.target; }

  std::filesystem::path states() const { return place_.states(); }

  void expect_room(Bytes bytes, Bytes largest_file) const {
    struct statvfs system {};
    if (::statvfs(staging_.c_str(), &system) == 0 && system.f_blocks > 0) {
      const auto room = static_cast<Bytes>(system.f_bavail) * static_cast<Bytes>(system.f_frsize);
      if (room < bytes) {
        throw SaveError(
            "OutputFolder", place_.target.string(),
            text("expected room for ", bytes, " bytes, got ", room, " on its file system",
                 FolderManifest::read(place_.target) ? note_on_older : "", "; free some, or choose another output"));
      }
    }
    struct rlimit limit {};
    if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < static_cast<rlim_t>(largest_file)) {
      throw SaveError("OutputFolder", place_.target.string(),
                      text("expected files of up to ", largest_file, " bytes, got a limit of ", limit.rlim_cur,
                           " (ulimit -f); raise it"));
    }
  }

  void commit() {
    check_replaceable();  // things may have changed while a long run was on
    detail::sync_tree(staging_);
    FolderManifest::of(staging_).write(staging_);
    for (const std::string& line : detail::put_in_place(staged())) tell(line);
    committed_ = true;
  }

 private:
  static constexpr const char* note_on_older = " (the older folder is kept until the new one is whole)";

  void tell(const std::string& line) const {
    if (options_.on_notice) options_.on_notice(line);
  }

  detail::StagedFolder staged() {
    return {.staging = staging_,
            .place = place_,
            .overwrite = options_.overwrite,
            .among_others = options_.among_others,
            .seen = &seen_};
  }

  void check_replaceable() {
    if (options_.overwrite) return;
    constexpr std::size_t most = 8;
    auto found = detail::others_at(staged(), most + 1);
    if (found.empty()) return;
    const bool more = found.size() > most;
    if (more) found.pop_back();
    std::string list;
    for (const std::string& name : found) list += (list.empty() ? "" : ", ") + name;
    const bool known = FolderManifest::read(place_.target).has_value();
    throw OutputOccupied(
        "OutputFolder", place_.target.string(),
        text("expected nothing there but what this program wrote, got ", list, more ? " and others" : "",
             known ? "" : text(", and no ", FolderManifest::file_name, " that lists what the program wrote"),
             "; choose another output, move them away, or set overwrite to lose them"));
  }

  OutputOptions options_;
  OutputPlace place_;
  detail::CreatedFolders created_;  // removed after the lock in them is
  OutputLock lock_;
  std::filesystem::path staging_;
  FolderManifest::Seen seen_;  // files at the target that were found to be those listed
  bool committed_ = false;
};

GREENTRAINER_INLINE OutputFolder::OutputFolder(const std::filesystem::path& target, OutputOptions options)
    : parts_(std::make_unique<Parts>(target, std::move(options))) {}

GREENTRAINER_INLINE OutputFolder::~OutputFolder() = default;

GREENTRAINER_INLINE const std::filesystem::path& OutputFolder::path() const { return parts_->path(); }

GREENTRAINER_INLINE const std::filesystem::path& OutputFolder::target() const { return parts_->target(); }

GREENTRAINER_INLINE std::filesystem::path OutputFolder::states() const { return parts_->states(); }

GREENTRAINER_INLINE void OutputFolder::expect_room(Bytes bytes, Bytes largest_file) const {
  parts_->expect_room(bytes, largest_file);
}

GREENTRAINER_INLINE void OutputFolder::commit() { parts_->commit(); }

}  // namespace greentrainer
