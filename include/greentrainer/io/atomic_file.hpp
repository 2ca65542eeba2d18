#pragma once

#include <atomic>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "greentrainer/io/file.hpp"

namespace greentrainer {

namespace detail {

/// A name beside `target` that no other writer uses: the process and a count tell them apart. Hidden, so that globs
/// pass over it.
inline std::filesystem::path sibling_of(const std::filesystem::path& target, std::string_view kind) {
  static std::atomic<unsigned> count{0};
  const auto folder = target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
  return folder / text('.', target.filename().string(), '.', kind, '-', ::getpid(), '-', count++);
}

/// The process of a name that sibling_of made: `front`, such as ".NAME.tmp-", and PROCESS-COUNT.
inline std::optional<pid_t> process_in(std::string_view name, std::string_view front) {
  if (!name.starts_with(front)) return std::nullopt;
  const char* const end = name.data() + name.size();
  pid_t process = 0;
  unsigned count = 0;
  const auto first = std::from_chars(name.data() + front.size(), end, process);
  if (first.ec != std::errc{} || process <= 0 || first.ptr == end || *first.ptr != '-') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, count);
  if (second.ec != std::errc{} || second.ptr != end) return std::nullopt;
  return process;
}

/// Forces a file to disk. False where the system reports that it failed; file systems that cannot (EINVAL) are passed
/// over.
inline bool sync_file(const FileDescriptor& file) {
  return uninterrupted([&] { return ::fsync(file.get()); }) == 0 || errno == EINVAL;
}

/// Makes a rename or the contents of a folder survive a power cut. Throws SaveError where the system reports that it
/// failed. Folders that may be written but not opened are passed over.
inline void sync_folder(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder.empty() ? "." : folder;
  const auto fail = [&] {
    throw SaveError("sync_folder", path.string(), text("expected to force it to disk, got \"", errno_text(), "\""));
  };
  const FileDescriptor descriptor(
      uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!descriptor && errno != EACCES) fail();
  if (descriptor && !sync_file(descriptor)) fail();
}

}  // namespace detail

/// Writes a file beside its target and puts it in place at `commit`. Until then, and if anything fails, the target is
/// what it was. Without a commit the written bytes are removed.
class AtomicFile {
 public:
  /// Throws SaveError if nothing can be written beside `target`.
  explicit AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
    do {  // a process of the same number may have left a file of this name
      temporary_ = detail::sibling_of(target_, "tmp");
      file_ = detail::FileDescriptor(detail::uninterrupted(
          [&] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); }));
    } while (!file_ && errno == EEXIST);
    if (!file_) fail("expected to create a file beside it");
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (!committed_) ::unlink(temporary_.c_str());
  }

  /// Appends. Throws SaveError (disk full, quota, ...).
  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto written = ::write(file_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail("expected to write on");
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }
  /// Appends the pieces that `produce(sink)` hands to its sink, as long as they are no more than `size` bytes together.
  /// Returns how many bytes came; the file is whole if these are `size`.
  template <class Produce>
  std::size_t write_pieces(std::size_t size, const Produce& produce) {
    std::size_t came = 0;
    produce([&](std::span<const std::byte> bytes) {
      came += bytes.size();
      if (came <= size) write(bytes);
    });
    return came;
  }
  void write(std::string_view bytes) { write(std::as_bytes(std::span(bytes))); }

  /// Forces the bytes to disk and renames them to the target. Throws SaveError, leaving the target as it was; where
  /// only the rename could not be forced to disk, the new contents are there.
  void commit() {
    if (!detail::sync_file(file_)) fail("expected to force it to disk");
    if (!file_.close()) fail("expected to close it");
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("expected to put it in place");
    committed_ = true;
    detail::sync_folder(target_.parent_path());
  }

 private:
  [[noreturn]] void fail(std::string_view expected) const {
    throw SaveError("AtomicFile", target_.string(), text(expected, ", got \"", detail::errno_text(), "\""));
  }

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  detail::FileDescriptor file_;
  bool committed_ = false;
};

/// Replaces the contents of `path` in one step. Throws SaveError, leaving what was there.
inline void atomic_write_file(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

/// Takes the next piece of a text.
using TextSink = std::function<void(std::string_view)>;

/// Replaces the contents of `path` in one step by the pieces of a text that `produce(sink)` hands to its sink. Holds
/// 64 KiB and a piece of it at once. Throws SaveError, leaving what was there.
template <class Produce>
void atomic_write_pieces(const std::filesystem::path& path, const Produce& produce) {
  constexpr std::size_t enough = std::size_t{1} << 16;
  AtomicFile file(path);
  std::string held;
  produce(TextSink([&](std::string_view piece) {
    held += piece;
    if (held.size() < enough) return;
    file.write(held);
    held.clear();
  }));
  file.write(held);
  file.commit();
}

}  // namespace greentrainer
