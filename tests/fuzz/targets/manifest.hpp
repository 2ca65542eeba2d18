#pragma once

// reader: io/folder_manifest.hpp

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/folder_manifest.hpp"

namespace greentrainer::fuzz {

/// The list of a folder's files; what is no list is no error, and lists nothing. A list that is written again is read
/// as what it was, and what the folder has is all listed by its own.
inline void manifest(std::string_view input) {
  static const InputFolder folder;
  std::filesystem::create_directory(folder.path() / "b");
  folder.write("a.txt", "abc");
  folder.write("b/c.txt", "abc");
  folder.write(FolderManifest::file_name, input);
  const auto read = FolderManifest::read(folder.path());
  if (!read) throw LoadError("manifest", folder.path().string(), "expected a list of files, got none");
  FolderManifest::Seen seen;
  for (int look = 0; look < 2; ++look) read->others(folder.path(), 10, {}, &seen);
  const bool complete = read->is_complete(folder.path());
  read->write(folder.path());
  const auto again = FolderManifest::read(folder.path());
  if (!again || again->state != read->state || again->folders != read->folders ||
      again->files.size() != read->files.size() || again->is_complete(folder.path()) != complete)
    std::abort();
  if (!FolderManifest::of(folder.path()).others(folder.path(), 10).empty()) std::abort();
}

}  // namespace greentrainer::fuzz
