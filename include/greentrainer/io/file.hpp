#pragma once

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// What a file to read may be: a file on a disk, or also a pipe or a device, which may wait for ever.
enum class FileKind { regular, any };

namespace detail {

/// What errno says, in words.
inline std::string errno_text() { return std::generic_category().message(errno); }

/// What a system call says, made again as long as a signal interrupts it: nothing has happened then.
template <class Call>
int uninterrupted(const Call& call) {
  while (true) {
    const int result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

/// An open file, closed when it goes.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() { close(); }

  /// False where the last writes failed (a full disk on a network file system shows here). An interrupted close has
  /// closed the file.
  bool close() { return fd_ < 0 || ::close(std::exchange(fd_, -1)) == 0 || errno == EINTR; }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// Opens without waiting for a pipe's other end: what stands in a folder of somebody else's must not hang us.
inline FileDescriptor open_for_reading(std::string_view where, const std::filesystem::path& path, FileKind kind) {
  const int flags = O_RDONLY | O_CLOEXEC | (kind == FileKind::regular ? O_NONBLOCK : 0);
  FileDescriptor file(uninterrupted([&] { return ::open(path.c_str(), flags); }));
  if (!file) throw LoadError(where, path.string(), text("expected a readable file, got \"", errno_text(), "\""));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0)
    throw LoadError(where, path.string(), text("expected a readable file, got \"", errno_text(), "\""));
  if (S_ISDIR(status.st_mode)) throw LoadError(where, path.string(), "expected a file, got a folder");
  if (kind == FileKind::regular && !S_ISREG(status.st_mode))
    throw LoadError(where, path.string(), "expected a regular file, got a pipe or a device");
  return file;
}

}  // namespace detail

/// The contents of a file. Throws LoadError if it cannot be read, is not of the kind, or holds more than `limit` bytes.
inline std::string read_file(const std::filesystem::path& path, Bytes limit = Bytes{1} << 30,
                             FileKind kind = FileKind::regular) {
  const auto file = detail::open_for_reading("read_file", path, kind);
  std::string contents;
  std::string buffer(std::size_t{1} << 16, '\0');
  while (true) {
    const auto got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw LoadError("read_file", path.string(), text("expected to read on, got \"", detail::errno_text(), "\""));
    if (got == 0) return contents;
    contents.append(buffer, 0, static_cast<std::size_t>(got));
    if (static_cast<Bytes>(contents.size()) > limit) {
      throw LoadError("read_file", path.string(),
                      text("expected at most ", limit, " bytes, got more; is this the right file?"));
    }
  }
}

/// A regular file that is read piece by piece, wherever. Not a mapping: where another program cuts the file short
/// meanwhile, a read beyond its new end is an error, not the end of the process. Replacing it by a rename does no harm.
/// Usable from many threads.
class RandomAccessFile {
 public:
  /// Throws LoadError if the file cannot be opened or is not a regular one.
  explicit RandomAccessFile(std::filesystem::path path)
      : path_(std::move(path)), file_(detail::open_for_reading("RandomAccessFile", path_, FileKind::regular)) {
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0)
      throw LoadError("RandomAccessFile", path_.string(),
                      text("expected its size, got \"", detail::errno_text(), "\""));
    size_ = static_cast<std::size_t>(status.st_size);
  }

  const std::filesystem::path& path() const { return path_; }

  /// Bytes it had when it was opened.
  std::size_t size() const { return size_; }

  /// Fills `bytes` with those from `offset` on. Throws LoadError if they cannot be read, or are not there any more.
  void read(std::size_t offset, std::span<std::byte> bytes) const {
    for (std::size_t done = 0; done < bytes.size();) {
      const auto got =
          ::pread(file_.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        throw LoadError("RandomAccessFile", path_.string(),
                        text("expected to read on, got \"", detail::errno_text(), "\""));
      if (got == 0) {
        throw LoadError("RandomAccessFile", path_.string(),
                        text("expected ", size_, " bytes, got its end at byte ", offset + done,
                             "; was it written while it was read?"));
      }
      done += static_cast<std::size_t>(got);
    }
  }

 private:
  std::filesystem::path path_;
  detail::FileDescriptor file_;
  std::size_t size_ = 0;
};

}  // namespace greentrainer
