#pragma once

#include <algorithm>
#include <concepts>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/io/file.hpp"

namespace greentrainer {

/// The small files of a model, by the names that they have in a Hugging Face folder: config.json, tokenizer.json and
/// the like. Either those of a folder, or what a file of another format says in their form.
class ModelFiles {
 public:
  /// Those of a folder.
  template <std::convertible_to<std::filesystem::path> Path>
  ModelFiles(const Path& folder) : path_(folder) {}

  /// Texts by name, which stand in the file `path` in another form.
  ModelFiles(std::filesystem::path path, std::map<std::string, std::string, std::less<>> texts)
      : path_(std::move(path)), texts_(std::move(texts)), is_folder_(false) {}

  /// The folder, or the file.
  const std::filesystem::path& path() const { return path_; }
  bool is_folder() const { return is_folder_; }

  bool has(std::string_view name) const {
    std::error_code error;
    return is_folder_ ? std::filesystem::exists(path_ / name, error) : texts_.contains(name);
  }

  /// What to call a file in errors.
  std::string source(std::string_view name) const {
    return is_folder_ ? (path_ / name).string() : text(path_.string(), ", metadata as ", name);
  }

  /// Throws LoadError for a file that is not there, cannot be read or has more than `limit` bytes.
  std::string read(std::string_view name, Bytes limit = Bytes{1} << 30) const {
    if (is_folder_) return read_file(path_ / name, limit);
    const auto found = texts_.find(name);
    if (found == texts_.end()) throw LoadError("read_file", source(name), "expected it, got a file without it");
    return found->second;
  }

  /// Names of files in a folder inside, "templates/x.jinja", in order; none where there is none.
  std::vector<std::string> names_in(std::string_view inner, std::string_view extension) const {
    std::vector<std::string> names;
    std::error_code error;
    if (!is_folder_) return names;
    for (const auto& entry : std::filesystem::directory_iterator(path_ / inner, error)) {
      if (entry.path().extension() == extension) names.push_back(text(inner, '/', entry.path().filename().string()));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::filesystem::path path_;
  std::map<std::string, std::string, std::less<>> texts_;
  bool is_folder_ = true;
};

}  // namespace greentrainer
