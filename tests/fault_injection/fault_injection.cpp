// A library to be preloaded: it stands between a test and the system, and lets one call fail, once. See
// tests/support/fault_injection.hpp, whose numbers of calls are repeated here: this library includes nothing of ours.

#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

namespace {

enum Call { call_write, call_fsync, call_rename, call_open, call_mkdir, call_mmap, call_malloc };
constexpr int short_write = -1;

// Of one thread: no other changes it while it is armed. No thread_local, which may allocate.
volatile int armed_call = -1;
int armed_error = 0;
long calls_left = 0;
long armed_thread = 0;
int happened = 0;

/// Whether this call is the one; errno is then set.
bool fails(Call call) {
  if (armed_call != call || ::syscall(SYS_gettid) != armed_thread || calls_left-- != 0) return false;
  armed_call = -1;
  happened = 1;
  errno = armed_error;
  return true;
}

mode_t mode_of(int flags, va_list arguments) { return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : mode_t{0}; }

int open_at(int folder, const char* path, int flags, mode_t mode) {
  if (fails(call_open)) return -1;
  return static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
}

}  // namespace

// Declared as glibc does, so that the linker takes these.
extern "C" {

void greentrainer_arm_fault(int call, int error, long number) {
  armed_error = error;
  calls_left = number;
  armed_thread = ::syscall(SYS_gettid);
  happened = 0;
  armed_call = call;
}
int greentrainer_disarm_fault() {
  armed_call = -1;
  return happened;
}

ssize_t write(int file, const void* bytes, size_t count) {
  if (fails(call_write)) {
    if (armed_error != short_write) return -1;
    count = (count + 1) / 2;
  }
  return ::syscall(SYS_write, file, bytes, count);
}
int fsync(int file) {
  // Nobody cuts the power here: what does not fail need not reach the disk.
  return fails(call_fsync) ? -1 : (file >= 0 ? 0 : -1);
}
int rename(const char* from, const char* to) noexcept {
  if (fails(call_rename)) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  if (fails(call_rename)) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}
int mkdir(const char* path, mode_t mode) noexcept {
  if (fails(call_mkdir)) return -1;
  return static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(folder, path, flags, mode);
}
void* mmap(void* address, size_t length, int protection, int flags, int file, off_t offset) noexcept {
  if (fails(call_mmap)) return MAP_FAILED;
  const long mapped = ::syscall(SYS_mmap, address, length, protection, flags, file, offset);
  return mapped == -1 ? MAP_FAILED : reinterpret_cast<void*>(mapped);
}

// What glibc's functions are called inside.
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) noexcept { return fails(call_malloc) ? nullptr : __libc_malloc(size); }
void* calloc(size_t count, size_t size) noexcept { return fails(call_malloc) ? nullptr : __libc_calloc(count, size); }
void* realloc(void* block, size_t size) noexcept { return fails(call_malloc) ? nullptr : __libc_realloc(block, size); }
void* aligned_alloc(size_t alignment, size_t size) noexcept {
  return fails(call_malloc) ? nullptr : __libc_memalign(alignment, size);
}
int posix_memalign(void** block, size_t alignment, size_t size) noexcept {
  if (fails(call_malloc)) return ENOMEM;
  *block = __libc_memalign(alignment, size);
  return *block == nullptr ? ENOMEM : 0;
}
}
