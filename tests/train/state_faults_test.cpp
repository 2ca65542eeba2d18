// Whatever the system does while a run is saved, the state before or the one after is there, and the run goes on. This
// file puts itself between the library and the system: every call that changes a file can be made to fail once, or to
// be the last one of its process.

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

enum class Fault { none, no_room, io_error, interrupted, short_write, death };

Fault fault = Fault::none;
int calls_until_fault = 0;

/// Whether this call is the one that fails; errno is then set, and it returns -1 (or writes less).
bool fails() {
  if (fault == Fault::none || calls_until_fault-- != 0) return false;
  if (fault == Fault::death) ::_exit(9);
  errno = fault == Fault::no_room ? ENOSPC : fault == Fault::interrupted ? EINTR : EIO;
  return true;
}

}  // namespace

// Declared as glibc does, so that the linker takes these.
extern "C" {
ssize_t write(int file, const void* bytes, size_t count) {
  if (fails()) {
    if (fault != Fault::short_write) return -1;
    count = (count + 1) / 2;
  }
  return ::syscall(SYS_write, file, bytes, count);
}
int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : mode_t{0};
  va_end(arguments);
  if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0 && fault != Fault::interrupted && fault != Fault::short_write &&
      fails())
    return -1;
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}
int fsync(int) { return fault != Fault::interrupted && fault != Fault::short_write && fails() ? -1 : 0; }
int rename(const char* from, const char* to) noexcept {
  if (fault != Fault::interrupted && fault != Fault::short_write && fails()) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  if (fault != Fault::interrupted && fault != Fault::short_write && fails()) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}
int mkdir(const char* path, mode_t mode) noexcept {
  if (fault != Fault::interrupted && fault != Fault::short_write && fails()) return -1;
  return static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
}

namespace {

using B = EigenBackend<float>;

/// Puts one fault into the call number `call` of those that `action` makes. False if it made fewer.
bool with_fault(Fault kind, int call, const std::function<void()>& action) {
  fault = kind;
  calls_until_fault = call;
  try {
    action();
  } catch (...) {
    fault = Fault::none;
    throw;
  }
  fault = Fault::none;
  return calls_until_fault < 0;
}

struct Session {
  Session() : model(tiny_model(backend, "opt-pre")), trainer(model, select_biases(model.graph()), AdamWOptions{}) {
    trainer.start(examples, {.steps = 6, .batch_size = 4, .evaluate = Evaluations::none});
  }

  B backend{1};
  Model<B> model;
  std::vector<Example> examples = counting_examples(8);
  Trainer<B> trainer;
};

/// Steps of the state in a folder; throws LoadError for a damaged one.
Extent steps_in(const std::filesystem::path& folder) { return StateFolder::read(folder).state.next_step; }

}  // namespace

TEST_CASE("a save in which any one call fails says so and leaves the state before, and the next one succeeds") {
  const TemporaryFolder folder;
  Session session;
  REQUIRE(session.trainer.step());
  for (const Fault kind : {Fault::no_room, Fault::io_error, Fault::interrupted, Fault::short_write}) {
    CAPTURE(static_cast<int>(kind));
    const bool harmless = kind == Fault::interrupted || kind == Fault::short_write;
    int refused = 0, call = 0;
    for (bool failed = true; failed; ++call) {
      CAPTURE(call);
      std::filesystem::remove_all(folder / "state");
      session.trainer.save(folder / "state");
      std::string message;
      try {
        failed = with_fault(kind, call, [&] { session.trainer.save(folder / "state"); });
      } catch (const Error& error) {
        message = error.what();
        ++refused;
      }
      CAPTURE(message);
      if (!message.empty()) {
        CHECK_FALSE(harmless);
        CHECK(has(message, "expected "));
      }
      CHECK(steps_in(folder / "state") == 1);
      session.trainer.save(folder / "state");
      CHECK(steps_in(folder / "state") == 1);
      CHECK(folder.entries() == 1);  // and nothing is left beside it
    }
    CHECK(call > 5);
    CHECK((refused > 10) == !harmless);
  }
  while (session.trainer.step()) {
  }
  Session calm;
  while (calm.trainer.step()) {
  }
  CHECK(weights_of(session.model) == weights_of(calm.model));  // none of it touched the run
}

TEST_CASE(
    "killed before any call of a save, a process leaves the state before or the new one, and the next save works") {
  int old_states = 0, new_states = 0, call = 0;
  Session session;
  REQUIRE(session.trainer.step());
  Session ahead;
  REQUIRE(ahead.trainer.step());
  REQUIRE(ahead.trainer.step());
  for (bool died = true; died; ++call) {
    CAPTURE(call);
    const TemporaryFolder folder;
    session.trainer.save(folder / "state");
    const pid_t child = ::fork();
    if (child == 0) {
      with_fault(Fault::death, call, [&] { ahead.trainer.save(folder / "state"); });
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    died = WEXITSTATUS(status) == 9;
    const Extent steps = steps_in(folder / "state");
    CHECK((steps == 1 || steps == 2));
    ++(steps == 1 ? old_states : new_states);
    ahead.trainer.save(folder / "state");
    CHECK(steps_in(folder / "state") == 2);
    CHECK(folder.entries() == 1);
  }
  CHECK(old_states > 15);
  CHECK(new_states >= 1);
}
