#pragma once

// reader: io/folder_manifest.hpp

#include <filesystem>
#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/folder_manifest.hpp"

namespace greentrainer::fuzz {

/// The list of a folder's files; what is no list is no error, and lists nothing.
inline void manifest(std::string_view input) {
  static const InputFolder folder;
  std::filesystem::create_directory(folder.path() / "b");
  folder.write("a.txt", "abc");
  folder.write("b/c.txt", "abc");
  folder.write(FolderManifest::file_name, input);
  const auto read = FolderManifest::read(folder.path());
  if (!read) throw LoadError("manifest", folder.path().string(), "expected a list of files, got none");
  read->is_complete(folder.path());
  read->others(folder.path(), 10);
}

}  // namespace greentrainer::fuzz
