#pragma once

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

namespace detail {

/// What errno says, in words.
inline std::string errno_text() { return std::generic_category().message(errno); }

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

  /// False where the last writes failed (a full disk on a network file system shows here).
  bool close() { return fd_ < 0 || ::close(std::exchange(fd_, -1)) == 0; }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

inline FileDescriptor open_for_reading(std::string_view where, const std::filesystem::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw LoadError(where, text(path.string(), ": expected a readable file, got \"", errno_text(), "\""));
  struct stat status {};
  if (::fstat(file.get(), &status) == 0 && S_ISDIR(status.st_mode)) {
    throw LoadError(where, text(path.string(), ": expected a file, got a folder"));
  }
  return file;
}

}  // namespace detail

/// The contents of a file, pipes included. Throws LoadError if it cannot be read or holds more than `limit` bytes.
inline std::string read_file(const std::filesystem::path& path, Bytes limit = Bytes{1} << 30) {
  const auto file = detail::open_for_reading("read_file", path);
  std::string contents;
  std::string buffer(std::size_t{1} << 16, '\0');
  while (true) {
    const auto got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw LoadError("read_file", text(path.string(), ": expected to read on, got \"", detail::errno_text(), "\""));
    if (got == 0) return contents;
    contents.append(buffer, 0, static_cast<std::size_t>(got));
    if (static_cast<Bytes>(contents.size()) > limit) {
      throw LoadError("read_file",
                      text(path.string(), ": expected at most ", limit, " bytes, got more; is this the right file?"));
    }
  }
}

/// A regular file mapped into memory, read only: pages come from disk when they are first looked at. Another program
/// that cuts the file short meanwhile makes reads beyond its new end fatal (SIGBUS), as with every mapping; replacing
/// it by a rename does no harm.
class MappedFile {
 public:
  /// Throws LoadError if the file cannot be opened or mapped.
  explicit MappedFile(std::filesystem::path path) : path_(std::move(path)) {
    const auto file = detail::open_for_reading("MappedFile", path_);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
      throw LoadError("MappedFile", text(path_.string(), ": expected a regular file, got a pipe or a device"));
    }
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ == 0) return;  // mmap refuses empty files
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) {
      throw LoadError("MappedFile",
                      text(path_.string(), ": expected to map ", size_, " bytes, got \"", detail::errno_text(), "\""));
    }
    data_ = static_cast<const std::byte*>(address);
  }

  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  }

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace greentrainer
