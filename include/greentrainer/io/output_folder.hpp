#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

struct OutputOptions {
  /// Replace what stands at the target whoever wrote it. It is kept until the new folder is whole.
  bool overwrite = false;
  /// Names of the files to be written into a folder that has others, which stay: only these may be replaced. Empty for
  /// a folder that is replaced as a whole.
  std::vector<std::string> among_others;
  /// Told, a line at a time, what was found of earlier runs and done about it, and what could not be removed.
  std::function<void(const std::string&)> on_notice;
};

/// The target has files that this program did not write. A SaveError of its own, so that programs can say how
/// OutputOptions::overwrite is asked for.
class OutputOccupied : public SaveError {
 public:
  using SaveError::SaveError;
};

/// A folder of results that appears all at once. Files are written into a hidden folder beside the target; `commit`
/// puts it in place of what was there, in one step where the system can. Without a commit it is removed, and an older
/// folder at the target stays untouched. docs/decisions/0012-output-folders.md says how, and what a crash leaves.
///
/// Only what this program wrote is ever replaced: a target with a file that its FolderManifest does not list, or not
/// with these bytes, is refused unless `overwrite` says otherwise. So that it is refused before a long run, make the
/// object at its start: it also keeps other runs from the same output until it goes.
class OutputFolder {
 public:
  /// Creates the folder to write into, and missing parents of `target`; settles what killed runs of the same output
  /// have left. Throws OutputInUse, OutputOccupied, and SaveError for a target that cannot be written.
  explicit OutputFolder(const std::filesystem::path& target, OutputOptions options = {});
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  /// Where to write.
  const std::filesystem::path& path() const;

  /// Where it will be.
  const std::filesystem::path& target() const;

  /// Where what belongs to runs of this output, but not to it, can lie: a folder that nobody makes or removes here.
  std::filesystem::path states() const;

  /// Throws SaveError if the file system has no room for so many bytes more, or the process may not write a file of
  /// `largest_file`. What it does not tell (quotas of networks) is found when writing.
  void expect_room(Bytes bytes, Bytes largest_file) const;

  /// Forces everything to disk and puts the folder in place. Throws SaveError; the target is then what it was, or
  /// marked as incomplete where its files are moved one by one and that failed in the middle: the next run goes on with
  /// it. Throws LoadError if what was written cannot be read again.
  void commit();

 private:
  class Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/io/output_folder_inl.hpp"
#endif
