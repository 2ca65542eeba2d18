#pragma once

#include <filesystem>
#include <system_error>

#include "greentrainer/io/atomic_file.hpp"

namespace greentrainer {

/// A folder of results that appears all at once. Files are written into a hidden folder beside the target; `commit`
/// puts it in place of what was there. Without a commit it is removed, and an older folder at the target stays
/// untouched.
///
/// Only an empty folder or a model's (one with a config.json, or adapter_config.json) is ever replaced: a mistyped
/// target does not cost anyone their files.
class OutputFolder {
 public:
  /// Creates the folder to write into, and missing parents of `target`. Throws SaveError.
  explicit OutputFolder(const std::filesystem::path& target) : target_(resolve(target)) {
    check_replaceable();
    std::error_code error;
    std::filesystem::create_directories(target_.parent_path(), error);
    temporary_ = detail::sibling_of(target_, "tmp");
    if (error || !std::filesystem::create_directory(temporary_, error))
      fail("expected to create a folder beside it", error);
  }
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder() {
    std::error_code ignored;
    if (!committed_) std::filesystem::remove_all(temporary_, ignored);
  }

  /// Where to write.
  const std::filesystem::path& path() const { return temporary_; }

  /// Where it will be.
  const std::filesystem::path& target() const { return target_; }

  /// Forces everything to disk and puts the folder in place. Throws SaveError; the older folder is then back where it
  /// was.
  void commit() {
    check_replaceable();  // things may have changed while a long run was on
    sync_all();
    std::error_code error;
    std::filesystem::path aside;
    if (std::filesystem::exists(target_)) {
      aside = detail::sibling_of(target_, "old");
      std::filesystem::rename(target_, aside, error);
      if (error) fail("expected to move the older folder aside", error);
    }
    std::filesystem::rename(temporary_, target_, error);
    if (error) {
      std::error_code ignored;
      if (!aside.empty()) std::filesystem::rename(aside, target_, ignored);
      fail("expected to put the folder in place", error);
    }
    committed_ = true;
    detail::sync_folder(target_.parent_path());
    if (!aside.empty()) std::filesystem::remove_all(aside, error);  // what cannot be removed does not spoil the result
  }

 private:
  /// A symbolic link stays one: what it points to is replaced.
  static std::filesystem::path resolve(const std::filesystem::path& target) {
    std::error_code error;
    auto path = std::filesystem::absolute(target, error);
    if (!error) path = std::filesystem::weakly_canonical(path, error);
    if (error)
      throw SaveError("OutputFolder",
                      text(target.string(), ": expected a path for a folder, got \"", error.message(), "\""));
    if (!path.has_filename()) path = path.parent_path();
    if (target.empty() || !path.has_filename()) {
      throw SaveError("OutputFolder",
                      text('"', target.string(), "\": expected the name of a folder to write, got none"));
    }
    return path;
  }

  void check_replaceable() const {
    std::error_code error;
    const auto status = std::filesystem::status(target_, error);
    if (!std::filesystem::exists(status)) return;
    if (!std::filesystem::is_directory(status)) {
      throw SaveError("OutputFolder", text(target_.string(),
                                           ": expected a folder or nothing there, got a file; choose another output"));
    }
    const bool empty = std::filesystem::is_empty(target_, error);
    if (error) fail("expected to look into it", error);
    if (!empty && !std::filesystem::exists(target_ / "config.json", error) &&
        !std::filesystem::exists(target_ / "adapter_config.json", error)) {
      throw SaveError(
          "OutputFolder",
          text(target_.string(), ": expected an empty folder or a model to replace, got a folder with other files; ",
               "choose another output or remove them"));
    }
  }

  void sync_all() const {
    std::error_code error;
    for (std::filesystem::recursive_directory_iterator entry(temporary_, error), end; !error && entry != end;
         entry.increment(error)) {
      if (entry->is_directory()) {
        detail::sync_folder(entry->path());
        continue;
      }
      const detail::FileDescriptor file(::open(entry->path().c_str(), O_RDONLY | O_CLOEXEC));
      if (!file || (::fsync(file.get()) != 0 && errno != EINVAL)) {
        fail("expected to force its files to disk", std::error_code(errno, std::generic_category()));
      }
    }
    if (error) fail("expected to list its files", error);
    detail::sync_folder(temporary_);
  }

  [[noreturn]] void fail(std::string_view expected, std::error_code error) const {
    throw SaveError("OutputFolder", text(target_.string(), ": ", expected, ", got \"", error.message(), "\""));
  }

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  bool committed_ = false;
};

}  // namespace greentrainer
