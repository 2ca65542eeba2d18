#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/sha256.hpp"

namespace greentrainer {

namespace detail {

/// What tells whether a file is still the one that was looked at: a change moves at least its ctime.
using FileIdentity = std::tuple<dev_t, ino_t, off_t, time_t, long, time_t, long>;

inline std::optional<FileIdentity> identity_of(const std::filesystem::path& file) {
  struct stat status {};
  if (::lstat(file.c_str(), &status) != 0) return std::nullopt;
  return FileIdentity{status.st_dev,          status.st_ino,         status.st_size,        status.st_mtim.tv_sec,
                      status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec};
}

}  // namespace detail

namespace detail {

/// Whether the folders that a path names within `folder` are folders, none of them a link that leads elsewhere.
inline bool stands_in(const std::filesystem::path& folder, const std::filesystem::path& name) {
  std::filesystem::path path = folder;
  std::error_code error;
  for (const auto& part : name.parent_path()) {
    path /= part;
    if (!std::filesystem::is_directory(std::filesystem::symlink_status(path, error))) return false;
  }
  return true;
}

}  // namespace detail

/// What this program wrote into a folder: every file with its size and SHA-256, kept in a file of the folder. It tells
/// the program's files from a user's: one that is not listed, or differs, is the user's.
struct FolderManifest {
  static constexpr std::string_view file_name = "greentrainer-files.json";

  struct File {
    Bytes bytes = 0;
    std::string sha256;
  };
  /// Files that were found to be those listed, by name: not read again until they change.
  using Seen = std::map<std::string, detail::FileIdentity>;

  /// `writing`: files still come. `written`: all are there. `replaced`: a newer folder takes its place. The last two
  /// say which of two whole folders is the newer one after a crash.
  enum class State { writing, written, replaced };

  State state = State::writing;
  std::map<std::string, File> files;  ///< by path in the folder, '/' between names
  std::set<std::string> folders;

  /// Lists and hashes all that is in a folder; a link is not listed, and so will be a user's. Throws LoadError.
  static FolderManifest of(const std::filesystem::path& folder) try {
    FolderManifest manifest{.state = State::written, .files = {}, .folders = {}};
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const auto status = entry.symlink_status();
      const std::string name = entry.path().lexically_relative(folder).generic_string();
      if (std::filesystem::is_directory(status)) manifest.folders.insert(name);
      if (!std::filesystem::is_regular_file(status) || name == file_name) continue;
      manifest.files[name] = {static_cast<Bytes>(entry.file_size()), sha256_of_file(entry.path())};
    }
    return manifest;
  } catch (const std::filesystem::filesystem_error& error) {
    throw LoadError("FolderManifest", folder.string(),
                    text("expected to list its files, got \"", error.code().message(), "\""));
  }

  /// The manifest of a folder; nothing where it has none, or one that no version of this program writes, or that cannot
  /// be read: `unreadable` then becomes why.
  static std::optional<FolderManifest> read(const std::filesystem::path& folder, std::string* unreadable = nullptr) {
    const auto path = folder / file_name;
    std::error_code error;
    if (!std::filesystem::is_regular_file(std::filesystem::symlink_status(path, error))) return std::nullopt;
    std::string bytes;
    try {
      bytes = read_file(path, Bytes{64} << 20);
    } catch (const LoadError& failure) {
      if (unreadable != nullptr) *unreadable = failure.what();
      return std::nullopt;
    }
    try {
      return parse(parse_json(bytes, path.string()));
    } catch (const LoadError&) {
      return std::nullopt;
    }
  }

  /// Writes it into the folder, in one step. Throws SaveError.
  void write(const std::filesystem::path& folder) const {
    Json json = {
        {"format", format}, {"version", 1}, {"state", name_of(state)}, {"files", Json::object()}, {"folders", folders}};
    for (const auto& [name, file] : files) json["files"][name] = {{"bytes", file.bytes}, {"sha256", file.sha256}};
    atomic_write_file(folder / file_name, json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  }

  /// Whether the folder's file of this name is the one that is listed.
  bool lists(const std::filesystem::path& folder, const std::string& name, Seen* seen = nullptr) const {
    const auto listed = files.find(name);
    if (listed == files.end()) return false;
    std::error_code error;
    const auto path = folder / name;
    if (!detail::stands_in(folder, name) ||
        !std::filesystem::is_regular_file(std::filesystem::symlink_status(path, error)))
      return false;
    if (std::filesystem::file_size(path, error) != static_cast<std::uintmax_t>(listed->second.bytes)) return false;
    const auto identity = detail::identity_of(path);
    if (seen != nullptr && identity && seen->contains(name) && seen->at(name) == *identity) return true;
    try {
      if (sha256_of_file(path) != listed->second.sha256) return false;
    } catch (const LoadError&) {
      return false;
    }
    if (seen != nullptr && identity) (*seen)[name] = *identity;
    return true;
  }

  /// Whether all that is listed is there.
  bool is_complete(const std::filesystem::path& folder) const {
    for (const auto& [name, file] : files) {
      if (!lists(folder, name)) return false;
    }
    return true;
  }

  /// At most `most` of the files and folders in `folder` that are not listed, as a reader would name them. `own` are
  /// names at the top to pass over, beside the manifest's.
  std::vector<std::string> others(const std::filesystem::path& folder, std::size_t most,
                                  const std::set<std::string>& own = {}, Seen* seen = nullptr) const {
    std::vector<std::string> found;
    collect_others(folder, "", most, own, seen, found);
    return found;
  }

 private:
  static constexpr std::string_view format = "greentrainer-files";

  /// Manifests come from strangers, too: their names must not lead out of the folder.
  static bool is_plain(const std::string& name) {
    const std::filesystem::path path(name);
    return !name.empty() && path.is_relative() && name.find('\0') == std::string::npos &&
           std::none_of(path.begin(), path.end(), [](const auto& part) { return part == ".." || part == "."; });
  }

  static std::string_view name_of(State state) {
    return state == State::writing ? "writing" : state == State::written ? "written" : "replaced";
  }

  static std::optional<FolderManifest> parse(const Json& json) {
    const auto has = [&](const char* key, Json::value_t type) {
      return json.is_object() && json.contains(key) && json[key].type() == type;
    };
    if (!has("format", Json::value_t::string) || json["format"] != format || !has("state", Json::value_t::string) ||
        !json.contains("version") || json["version"] != 1 || !has("files", Json::value_t::object) ||
        !has("folders", Json::value_t::array)) {
      return std::nullopt;
    }
    FolderManifest manifest;
    const auto& name = json["state"].get_ref<const std::string&>();
    for (const State state : {State::writing, State::written, State::replaced}) {
      if (name == name_of(state)) manifest.state = state;
    }
    for (const auto& [file, entry] : json["files"].items()) {
      if (!is_plain(file) || !entry.is_object() || !entry.contains("bytes") || !entry["bytes"].is_number_unsigned() ||
          !std::in_range<Bytes>(entry["bytes"].get<std::uint64_t>()) || !entry.contains("sha256") ||
          !entry["sha256"].is_string()) {
        return std::nullopt;
      }
      manifest.files[file] = {static_cast<Bytes>(entry["bytes"].get<std::uint64_t>()),
                              entry["sha256"].get<std::string>()};
    }
    for (const auto& folder : json["folders"]) {
      if (!folder.is_string() || !is_plain(folder.get<std::string>())) return std::nullopt;
      manifest.folders.insert(folder.get<std::string>());
    }
    return manifest;
  }

  /// Goes into listed folders alone, and never through a link.
  void collect_others(const std::filesystem::path& folder, const std::string& within, std::size_t most,
                      const std::set<std::string>& own, Seen* seen, std::vector<std::string>& found) const {
    std::error_code error;
    std::filesystem::directory_iterator entry(folder / within, error), end;
    std::set<std::string> names;  // in an order that does not depend on the file system
    for (; !error && entry != end; entry.increment(error)) names.insert(entry->path().filename().string());
    if (error) found.push_back(text(within.empty() ? "." : within, " (", error.message(), ")"));
    for (const std::string& last : names) {
      if (found.size() >= most) return;
      if (within.empty() && (last == file_name || own.contains(last))) continue;
      const std::string name = within.empty() ? last : within + "/" + last;
      const bool is_folder = std::filesystem::is_directory(std::filesystem::symlink_status(folder / name, error));
      if (is_folder && folders.contains(name))
        collect_others(folder, name, most, own, seen, found);
      else if (is_folder)
        found.push_back(name + "/");
      else if (!lists(folder, name, seen))
        found.push_back(name + (files.contains(name) ? " (changed)" : ""));
    }
  }
};

namespace detail {

/// Removes a folder that was never whole, its manifest last: who is killed here leaves one that the next run knows.
inline void remove_unfinished(const std::filesystem::path& folder) {
  std::error_code ignored;
  std::vector<std::filesystem::path> first;
  for (std::filesystem::directory_iterator entry(folder, ignored), end; entry != end; entry.increment(ignored)) {
    if (entry->path().filename() != FolderManifest::file_name) first.push_back(entry->path());
  }
  for (const auto& path : first) std::filesystem::remove_all(path, ignored);
  std::filesystem::remove_all(folder, ignored);
}

}  // namespace detail

/// Removes the files that the manifest lists and that have not changed, and folders that are empty then. What else is
/// there stays. Returns whether nothing is left.
inline bool remove_listed(const std::filesystem::path& folder, const FolderManifest& manifest,
                          FolderManifest::Seen* seen = nullptr) {
  std::error_code ignored;
  for (const auto& [name, file] : manifest.files) {
    if (manifest.lists(folder, name, seen)) std::filesystem::remove(folder / name, ignored);
  }
  for (auto name = manifest.folders.rbegin(); name != manifest.folders.rend(); ++name) {
    const auto path = folder / *name;
    if (detail::stands_in(folder, *name) &&
        std::filesystem::is_directory(std::filesystem::symlink_status(path, ignored)))
      std::filesystem::remove(path, ignored);  // only if it is empty
  }
  if (std::distance(std::filesystem::directory_iterator(folder, ignored), {}) > 1) return false;
  std::filesystem::remove(folder / FolderManifest::file_name, ignored);
  return std::filesystem::remove(folder, ignored);
}

}  // namespace greentrainer
