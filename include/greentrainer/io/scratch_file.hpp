#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "greentrainer/core/text.hpp"
#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/file.hpp"

namespace greentrainer {

/// A file without a name: in a folder, but in no listing of it. No other process finds it, and the system takes its
/// bytes back when this one ends, however it ends.
class ScratchFile {
 public:
  /// Throws SaveError where the folder is not there or no file can be made in it.
  explicit ScratchFile(const std::filesystem::path& folder) : folder_(folder) {
    std::filesystem::path name;
    do {
      name = detail::sibling_of(folder / "greentrainer", "scratch");
      file_ = detail::FileDescriptor(
          detail::uninterrupted([&] { return ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); }));
    } while (!file_ && errno == EEXIST);
    if (!file_ || ::unlink(name.c_str()) != 0) {
      throw SaveError("ScratchFile", folder.string(),
                      text("expected a folder that files can be made in, got \"", detail::errno_text(), "\""));
    }
  }

  const std::filesystem::path& folder() const { return folder_; }
  /// For tests that damage it.
  int descriptor() const { return file_.get(); }

  /// Takes room for so many bytes from the start on, so that writing there later does not fail for want of it. Returns
  /// what the system says where there is not as much; file systems that cannot promise room are taken at their word.
  std::optional<std::string> reserve(Bytes bytes) {
    if (bytes <= 0) return std::nullopt;
    while (::fallocate(file_.get(), 0, 0, static_cast<off_t>(bytes)) != 0) {
      if (errno == EINTR) continue;
      if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) return std::nullopt;
      return detail::errno_text();
    }
    return std::nullopt;
  }

  /// Writes all bytes at `offset`. Returns what the system says where it cannot.
  std::optional<std::string> write(Bytes offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto written = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return detail::errno_text();
      if (written == 0) return "nothing was written";
      bytes = bytes.subspan(static_cast<std::size_t>(written));
      offset += written;
    }
    return std::nullopt;
  }

  /// Fills `bytes` with those from `offset` on. Returns what the system says where it cannot, or that the file ends.
  std::optional<std::string> read(Bytes offset, std::span<std::byte> bytes) const {
    while (!bytes.empty()) {
      const auto got = ::pread(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return detail::errno_text();
      if (got == 0) return text("its end at byte ", offset);
      bytes = bytes.subspan(static_cast<std::size_t>(got));
      offset += got;
    }
    return std::nullopt;
  }

 private:
  std::filesystem::path folder_;
  detail::FileDescriptor file_;
};

}  // namespace greentrainer
