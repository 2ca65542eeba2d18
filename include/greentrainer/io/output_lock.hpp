#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <utility>

#include "greentrainer/io/file.hpp"

namespace greentrainer {

/// Another run writes to the same output. A SaveError of its own so that programs can go on without writing.
class OutputInUse : public SaveError {
 public:
  using SaveError::SaveError;
};

/// Keeps two runs from writing to one output: a lock on a file, which the system drops when its process ends, however
/// that ends. The file names the process and is removed with the lock; one that a killed process left is used again.
class OutputLock {
 public:
  /// Throws OutputInUse if another process, or another OutputLock of this one, holds the lock, and SaveError if its
  /// file cannot be made or is not this program's. `subject` is what the lock is for, in errors.
  OutputLock(std::filesystem::path file, const std::string& subject) : path_(std::move(file)) {
    while (!acquire(subject)) {
    }
  }
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;
  ~OutputLock() {
    if (held_) ::unlink(path_.c_str());  // while it is held: who opens the file later gets a new one
  }

  /// False on a file system that has no locks: two runs are then not kept apart.
  bool held() const { return held_; }

 private:
  static constexpr std::string_view mark = "greentrainer output lock";

  /// False if the file is not the one at the path any more: its last holder has just removed it.
  bool acquire(const std::string& subject) {
    const auto fail = [&](const auto&... what) { throw SaveError("OutputLock", subject, text(what...)); };
    const auto open = [&](int flags) {
      return detail::FileDescriptor(
          detail::uninterrupted([&] { return ::open(path_.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, 0666); }));
    };
    auto file = open(O_RDWR | O_CREAT);
    if (!file && (errno == EACCES || errno == EPERM))  // another user's: good enough for a lock
      file = open(O_RDONLY);
    if (!file) fail("expected to create ", path_.string(), ", got \"", detail::errno_text(), "\"");
    struct stat opened {
    }, named{};
    if (::fstat(file.get(), &opened) != 0 || !S_ISREG(opened.st_mode))
      fail("expected a regular file at ", path_.string(), ", got something else; move it away");
    const std::string contents = read(file);
    if (!contents.starts_with(mark) && !mark.starts_with(contents))  // a disk that was full may have cut it short
      fail("expected this program's lock or nothing at ", path_.string(), ", got another file; move it away");
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) return false;
      if (errno == EWOULDBLOCK) {
        throw OutputInUse("OutputLock", subject,
                          text("expected an output that no other run writes to, got one that ", holder(contents),
                               " writes to; wait for it, or choose another output"));
      }
      if (opened.st_size == 0) ::unlink(path_.c_str());
      return true;  // no locks here
    }
    if (::stat(path_.c_str(), &named) != 0 || named.st_ino != opened.st_ino || named.st_dev != opened.st_dev)
      return false;
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    const std::string line = text(mark, ": process ", ::getpid(), " on ", host.data(), '\n');
    // For readers alone: where this fails, the lock holds all the same.
    if (::ftruncate(file.get(), 0) != 0 || ::pwrite(file.get(), line.data(), line.size(), 0) < 0) errno = 0;
    file_ = std::move(file);
    held_ = true;
    return true;
  }

  static std::string read(const detail::FileDescriptor& file) {
    std::string contents(512, '\0');
    const auto got = ::pread(file.get(), contents.data(), contents.size(), 0);
    contents.resize(static_cast<std::size_t>(std::max<decltype(got)>(got, 0)));
    return contents;
  }

  /// "process 12 on there", of a file that anyone may have written.
  static std::string holder(const std::string& contents) {
    std::string who = contents.substr(std::min(contents.size(), mark.size() + 2));
    who = who.substr(0, who.find('\n'));
    const bool plain = std::all_of(who.begin(), who.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == ' ' || c == '.' || c == '-' || c == '_';
    });
    return plain && who.starts_with("process ") ? who : "another process";
  }

  std::filesystem::path path_;
  detail::FileDescriptor file_;
  bool held_ = false;
};

}  // namespace greentrainer
