// A library to be preloaded (LD_PRELOAD, Linux): one call of a process on a file below a folder fails, as on a full or
// broken disk, or when a signal comes. What it does, variables of the environment say:
//   FAIL_CALLS_BELOW   the folder (its real path): calls on other files are neither counted nor changed
//   FAIL_CALLS_AT      the number of the call that fails, from 1 on; 0 or nothing: none does
//   FAIL_CALLS_WITH    ENOSPC, EIO, EINTR, ENOMEM, or short: a write or read of one byte less than half
//   FAIL_CALLS_END     set: so many calls behind the one that fails the process is killed (SIGKILL)
//   FAIL_CALLS_MALLOC  set: counted are allocations instead, from the FAIL_CALLS_MALLOC-th call on a file on
//   FAIL_CALLS_LOG     a file that gets a line for each call on a file, "number name path", and "failed" behind the one
// Calls are: open, opendir, close, read, pread, write, pwrite, fsync, ftruncate, mmap, rename, mkdir, unlink, rmdir. A
// close that fails has closed the file, as on Linux.

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc's own, under names that nobody replaces.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {

/// Nothing here may allocate: malloc is one of the functions that are replaced.
using Path = char[4096];

enum class Fate { pass, fail, cut_short };

struct Settings {
  const char* below = std::getenv("FAIL_CALLS_BELOW");
  long at = number("FAIL_CALLS_AT");
  long allocations_from = number("FAIL_CALLS_MALLOC");
  long end = number("FAIL_CALLS_END");
  const char* with = std::getenv("FAIL_CALLS_WITH");
  int log = open_log();

  static long number(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? 0 : std::strtol(value, nullptr, 10);
  }
  static int open_log() {
    const char* const path = std::getenv("FAIL_CALLS_LOG");
    return path == nullptr ? -1
                           : static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path,
                                                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  }
  int error() const {
    if (std::strcmp(with, "EIO") == 0) return EIO;
    if (std::strcmp(with, "EINTR") == 0) return EINTR;
    if (std::strcmp(with, "ENOMEM") == 0) return ENOMEM;
    return ENOSPC;
  }
};

// Set by a constructor of the library, before which calls pass uncounted.
Settings* settings = nullptr;
std::atomic<long> file_calls{0}, allocations{0};

__attribute__((constructor)) void read_settings() {
  static Settings made;
  if (made.below != nullptr) settings = &made;
}

void write_log(const char* name, const char* path, long number, bool failed) {
  if (settings->log < 0) return;
  char line[sizeof(Path) + 64];
  const int size = std::snprintf(line, sizeof line, "%ld %s %s%s\n", number, name, path, failed ? " failed" : "");
  if (size > 0) ::syscall(SYS_write, settings->log, line, static_cast<std::size_t>(size));
}

bool is_below(const char* path) {
  const std::size_t size = std::strlen(settings->below);
  return std::strncmp(path, settings->below, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

/// What happens to a call on the file at a whole path.
Fate fate_of(const char* name, const char* path) {
  if (settings == nullptr || !is_below(path)) return Fate::pass;
  const long number = ++file_calls;
  if (settings->end > 0 && number == settings->at + settings->end) ::kill(::getpid(), SIGKILL);
  const bool chosen = settings->allocations_from == 0 && number == settings->at;
  write_log(name, path, number, chosen);
  if (!chosen) return Fate::pass;
  if (std::strcmp(settings->with, "short") == 0) return Fate::cut_short;
  errno = settings->error();
  return Fate::fail;
}

/// The path that a descriptor was opened by.
void path_of(int file, Path& path) {
  char link[64];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const long size = ::syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  path[size < 0 ? 0 : size] = '\0';
}

Fate fate_of(const char* name, int file) {
  if (settings == nullptr) return Fate::pass;
  Path path;
  path_of(file, path);
  return fate_of(name, path);
}

/// Of a name that is seen from a folder.
Fate fate_of(const char* name, int folder, const char* seen) {
  if (settings == nullptr || seen == nullptr) return Fate::pass;
  if (seen[0] == '/') return fate_of(name, seen);
  Path path;
  if (folder == AT_FDCWD)
    path[::syscall(SYS_getcwd, path, sizeof path) < 0 ? 0 : std::strlen(path)] = '\0';
  else
    path_of(folder, path);
  const std::size_t size = std::strlen(path);
  std::snprintf(path + size, sizeof path - size, "/%s", seen);
  return fate_of(name, path);
}

std::size_t shorter(std::size_t size) { return size < 2 ? size : (size - 1) / 2; }

int open_at(const char* name, int folder, const char* path, int flags, va_list arguments) {
  const bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  const mode_t mode = makes ? va_arg(arguments, mode_t) : 0;
  if (fate_of(name, folder, path) == Fate::fail) return -1;
  return static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
}

/// std::filesystem lists folders through openat.
const char* name_of_open(int flags) { return (flags & O_DIRECTORY) != 0 ? "opendir" : "open"; }

bool allocation_fails() {
  if (settings == nullptr || settings->allocations_from == 0 || file_calls < settings->allocations_from) return false;
  if (++allocations != settings->at) return false;
  write_log("malloc", "", allocations, true);
  errno = ENOMEM;
  return true;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const int file = open_at("open", AT_FDCWD, path, flags, arguments);
  va_end(arguments);
  return file;
}
int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const int file = open_at("open", AT_FDCWD, path, flags, arguments);
  va_end(arguments);
  return file;
}
int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const int file = open_at(name_of_open(flags), folder, path, flags, arguments);
  va_end(arguments);
  return file;
}
int openat64(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const int file = open_at(name_of_open(flags), folder, path, flags, arguments);
  va_end(arguments);
  return file;
}
int close(int file) {
  const Fate fate = fate_of("close", file);
  const int error = errno;
  const long closed = ::syscall(SYS_close, file);
  if (fate != Fate::fail) return static_cast<int>(closed);
  errno = error;
  return -1;
}
ssize_t read(int file, void* bytes, std::size_t size) {
  const Fate fate = fate_of("read", file);
  if (fate == Fate::fail) return -1;
  return ::syscall(SYS_read, file, bytes, fate == Fate::cut_short ? shorter(size) : size);
}
ssize_t pread(int file, void* bytes, std::size_t size, off_t offset) {
  const Fate fate = fate_of("pread", file);
  if (fate == Fate::fail) return -1;
  return ::syscall(SYS_pread64, file, bytes, fate == Fate::cut_short ? shorter(size) : size, offset);
}
ssize_t pread64(int file, void* bytes, std::size_t size, off_t offset) { return pread(file, bytes, size, offset); }
ssize_t write(int file, const void* bytes, std::size_t size) {
  const Fate fate = fate_of("write", file);
  if (fate == Fate::fail) return -1;
  return ::syscall(SYS_write, file, bytes, fate == Fate::cut_short ? shorter(size) : size);
}
ssize_t pwrite(int file, const void* bytes, std::size_t size, off_t offset) {
  const Fate fate = fate_of("pwrite", file);
  if (fate == Fate::fail) return -1;
  return ::syscall(SYS_pwrite64, file, bytes, fate == Fate::cut_short ? shorter(size) : size, offset);
}
ssize_t pwrite64(int file, const void* bytes, std::size_t size, off_t offset) {
  return pwrite(file, bytes, size, offset);
}
int fsync(int file) { return fate_of("fsync", file) == Fate::fail ? -1 : static_cast<int>(::syscall(SYS_fsync, file)); }
int ftruncate(int file, off_t size) noexcept {
  return fate_of("ftruncate", file) == Fate::fail ? -1 : static_cast<int>(::syscall(SYS_ftruncate, file, size));
}
void* mmap(void* where, std::size_t size, int protection, int flags, int file, off_t offset) noexcept {
  if (file >= 0 && fate_of("mmap", file) == Fate::fail) return MAP_FAILED;
  return reinterpret_cast<void*>(::syscall(SYS_mmap, where, size, protection, flags, file, offset));
}
int rename(const char* from, const char* to) noexcept {
  if (fate_of("rename", AT_FDCWD, to) == Fate::fail) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  if (fate_of("rename", to_folder, to) == Fate::fail) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}
int mkdir(const char* path, mode_t mode) noexcept {
  if (fate_of("mkdir", AT_FDCWD, path) == Fate::fail) return -1;
  return static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
int unlink(const char* path) noexcept {
  if (fate_of("unlink", AT_FDCWD, path) == Fate::fail) return -1;
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  if (fate_of("unlink", folder, path) == Fate::fail) return -1;
  return static_cast<int>(::syscall(SYS_unlinkat, folder, path, flags));
}
int rmdir(const char* path) noexcept {
  if (fate_of("rmdir", AT_FDCWD, path) == Fate::fail) return -1;
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}
int remove(const char* path) noexcept {
  if (fate_of("unlink", AT_FDCWD, path) == Fate::fail) return -1;
  if (::syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0) return 0;
  if (errno != EISDIR) return -1;
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}

void* malloc(std::size_t size) { return allocation_fails() ? nullptr : __libc_malloc(size); }
void* calloc(std::size_t count, std::size_t size) { return allocation_fails() ? nullptr : __libc_calloc(count, size); }
void* realloc(void* block, std::size_t size) { return allocation_fails() ? nullptr : __libc_realloc(block, size); }
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return allocation_fails() ? nullptr : __libc_memalign(alignment, size);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  if (allocation_fails()) return ENOMEM;
  *block = __libc_memalign(alignment, size);
  return *block == nullptr ? ENOMEM : 0;
}

}  // extern "C"
