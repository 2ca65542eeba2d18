#pragma once

// reader: io/folder_manifest.hpp

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/folder_manifest.hpp"

namespace greentrainer::fuzz {

/// Whether two lists name the same files and folders.
inline bool same_manifests(const FolderManifest& a, const FolderManifest& b) {
  return a.state == b.state && a.folders == b.folders &&
         std::equal(a.files.begin(), a.files.end(), b.files.begin(), b.files.end(), [](const auto& x, const auto& y) {
           return x.first == y.first && x.second.bytes == y.second.bytes && x.second.sha256 == y.second.sha256;
         });
}

/// A folder with files, a folder within and a link that leads out of it, to `outside`.
inline void make_listed_folder(const InputFolder& folder) {
  const auto listed = folder.path() / "listed", outside = folder.path() / "outside";
  std::filesystem::create_directories(listed / "b" / "empty");
  std::filesystem::create_directories(outside / "sub");
  if (!std::filesystem::is_symlink(std::filesystem::symlink_status(listed / "link")))
    std::filesystem::create_directory_symlink(outside, listed / "link");
  folder.write("listed/a.txt", "abc");
  folder.write("listed/b/c.txt", "abc");
  folder.write("outside/kept.txt", "abc");
}

/// The list of a folder's files: read, compared with the folder, written and read again, and what it lists removed.
/// What is no list is no error, and lists nothing. Throws std::logic_error where a list is not what was written, or
/// leads out of its folder.
inline void manifest(std::string_view input) {
  static const InputFolder folder;
  const auto listed = folder.path() / "listed", outside = folder.path() / "outside";
  make_listed_folder(folder);
  const auto whole = FolderManifest::of(listed);
  if (whole.others(listed, 10) != std::vector<std::string>{"link"})
    throw std::logic_error("a folder has more than its own list says");
  folder.write("listed/" + std::string(FolderManifest::file_name), input);
  const auto read = FolderManifest::read(listed);
  if (!read) throw LoadError("manifest", listed.string(), "expected a list of files, got none");
  FolderManifest::Seen seen;
  read->is_complete(listed);
  read->others(listed, 10, {"a.txt"});
  read->others(listed, 10, {}, &seen);
  read->others(listed, 1, {}, &seen);
  for (const FolderManifest* list : {&whole, &*read}) {
    list->write(listed);
    const auto again = FolderManifest::read(listed);
    if (!again || !same_manifests(*again, *list)) throw std::logic_error("a list is not read as it was written");
  }
  remove_listed(listed, *read, &seen);
  detail::remove_unfinished(listed);
  if (std::filesystem::exists(listed)) throw std::logic_error("a folder that was never whole is still there");
  if (!std::filesystem::exists(outside / "kept.txt") || !std::filesystem::exists(outside / "sub"))
    throw std::logic_error("what lies outside of a folder was removed");
}

}  // namespace greentrainer::fuzz
