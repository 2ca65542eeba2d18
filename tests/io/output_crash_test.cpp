// What a run leaves that is killed while it writes its output, and what the next run makes of it. This file puts itself
// between the library and the system: a process can be made to die before its nth rename, removal, new folder or flush,
// and single calls can be made to fail.

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <functional>
#include <set>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <doctest/doctest.h>

#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/folder_manifest.hpp"
#include "greentrainer/io/incomplete_marker.hpp"
#include "greentrainer/io/output_folder.hpp"
#include "greentrainer/io/output_lock.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

constexpr int never = -1;

int calls_until_death = never;
bool without_exchange = false;  // renameat2 is a call that the system does not know
int failing_rename = 0;         // the error of every rename onto a folder
bool failing_folder_sync = false;

void count_call() {
  if (calls_until_death >= 0 && calls_until_death-- == 0) ::_exit(9);
}

}  // namespace

// Declared as glibc does, so that the linker takes these.
extern "C" {
int rename(const char* from, const char* to) noexcept {
  count_call();
  struct stat status {};
  if (failing_rename != 0 && ::stat(from, &status) == 0 && S_ISDIR(status.st_mode)) {
    errno = failing_rename;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  count_call();
  if (without_exchange || failing_rename != 0) {
    errno = failing_rename != 0 ? failing_rename : ENOSYS;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}
int unlink(const char* path) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
int mkdir(const char* path, mode_t mode) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
int rmdir(const char* path) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}
int remove(const char* path) noexcept {
  count_call();
  struct stat status {};
  const bool folder = ::lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, folder ? AT_REMOVEDIR : 0));
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  count_call();
  return static_cast<int>(::syscall(SYS_unlinkat, folder, path, flags));
}
int fsync(int file) {
  count_call();
  struct stat status {};
  if (failing_folder_sync && ::fstat(file, &status) == 0 && S_ISDIR(status.st_mode)) {
    errno = EIO;
    return -1;
  }
  return 0;  // nobody cuts the power here
}
}

namespace {

/// An output of `version`: each has a file that the others have not.
void write_version(const std::filesystem::path& target, const std::string& version, bool overwrite = false,
                   std::vector<std::string>* notices = nullptr) {
  const OutputOptions options{.overwrite = overwrite, .among_others = {}, .on_notice = [&](const std::string& line) {
                                if (notices != nullptr) notices->push_back(line);
                              }};
  OutputFolder output(target, options);
  atomic_write_file(output.path() / "config.json", version);
  atomic_write_file(output.path() / "model.bin", version + std::string(1000, '.'));
  atomic_write_file(output.path() / ("only-" + version), version);
  std::filesystem::create_directory(output.path() / "sub");
  atomic_write_file(output.path() / "sub" / "x", version);
  output.commit();
}

/// The version that a folder holds: "" for none, "mixed" for anything but one version's files.
std::string version_of(const std::filesystem::path& target) {
  if (!std::filesystem::exists(target)) return "";
  const std::string version = std::filesystem::exists(target / "config.json") ? read_file(target / "config.json") : "";
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(target))
    names.insert(entry.path().lexically_relative(target).generic_string());
  // What a killed process was writing a list of files to: hidden, and removed by the next run.
  std::erase_if(names, [](const std::string& name) { return name.starts_with(".greentrainer-files.json.tmp-"); });
  const std::set<std::string> expected = {"config.json", "model.bin",       "sub",
                                          "sub/x",       "only-" + version, std::string(FolderManifest::file_name)};
  const bool whole = names == expected && read_file(target / "model.bin") == version + std::string(1000, '.') &&
                     read_file(target / "sub/x") == version && read_file(target / ("only-" + version)) == version;
  return whole ? version : "mixed";
}

/// Makes the system behave as told for a test case.
template <class T>
class During {
 public:
  During(T& setting, T value) : setting_(setting), before_(std::exchange(setting, value)) {}
  During(const During&) = delete;
  During& operator=(const During&) = delete;
  ~During() { setting_ = before_; }

 private:
  T& setting_;
  T before_;
};

/// Runs `action` in a process that dies before its call number `calls`. False if it came to its end before.
bool dies_in(int calls, const std::function<void()>& action) {
  const pid_t child = ::fork();
  if (child == 0) {
    calls_until_death = calls;
    try {
      action();
    } catch (const std::exception&) {
      ::_exit(3);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  REQUIRE((WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0));
  return WEXITSTATUS(status) == 9;
}

}  // namespace

TEST_CASE("killed at any moment, a run leaves the older or the newer folder, and the next run leaves nothing beside") {
  for (const bool exchange : {true, false}) {
    CAPTURE(exchange);
    const During setting(without_exchange, !exchange);
    int seen_old = 0, seen_new = 0, calls = 0;
    for (bool died = true; died; ++calls) {
      CAPTURE(calls);
      TemporaryFolder folder;
      write_version(folder / "model", "old");
      died = dies_in(calls, [&] { write_version(folder / "model", "new"); });
      const std::string left = version_of(folder / "model");
      if (exchange) CHECK((left == "old" || left == "new"));  // at no moment is there anything else
      seen_old += left == "old";
      seen_new += left == "new";
      CHECK(left != "mixed");
      std::vector<std::string> notices;
      {
        OutputFolder next(folder / "model", {.overwrite = false,
                                             .among_others = {},
                                             .on_notice = [&](const std::string& line) { notices.push_back(line); }});
        CHECK((version_of(folder / "model") == "new" || (left != "new" && version_of(folder / "model") == "old")));
        CHECK(folder.entries() == 3);  // the output, the lock, and what is being written
      }
      CHECK(folder.entries() == 1);
      if (left.empty()) CHECK_FALSE(notices.empty());
      write_version(folder / "model", "third");
      CHECK(version_of(folder / "model") == "third");
    }
    CHECK(calls > 20);
    CHECK(seen_old > 10);
    CHECK(seen_new > 2);
  }
}

TEST_CASE("killed while it removes what a killed run has left, a run leaves what the next one knows") {
  int calls = 0;
  for (bool died = true; died; ++calls) {
    CAPTURE(calls);
    TemporaryFolder folder;
    REQUIRE(dies_in(20, [&] { write_version(folder / "model", "new"); }));
    REQUIRE(folder.entries() == 2);  // what was written, and the lock
    died = dies_in(calls, [&] { OutputFolder next(folder / "model"); });
    { OutputFolder last(folder / "model"); }
    CHECK(folder.entries() == 0);
  }
  CHECK(calls > 5);
}

TEST_CASE("killed while it moves files into a folder that cannot be renamed, a run is finished by the next") {
  int marked = 0, calls = 0;
  for (bool died = true; died; ++calls) {
    CAPTURE(calls);
    TemporaryFolder folder;
    write_version(folder / "model", "old");
    const During setting(failing_rename, EBUSY);  // as a mount point's; see output_mount_test.cpp for real ones
    died = dies_in(calls, [&] { write_version(folder / "model", "new"); });
    const bool incomplete = std::filesystem::exists(folder / "model" / incomplete_marker);
    marked += incomplete;
    const std::string left = version_of(folder / "model");
    // A mixture is never there unmarked, and never with a file by which it would be taken for a model.
    if (left != "old" && left != "new") {
      const bool tidying = incomplete || !std::filesystem::exists(folder / "model/config.json");
      CHECK(tidying);
      CHECK_THROWS_AS(expect_complete_folder("test", folder / "model"), LoadError);
    }
    {
      OutputFolder next(folder / "model");
      const std::string now = version_of(folder / "model");
      CHECK((now == "new" || (now == "old" && left == "old")));
      if (incomplete) CHECK(now == "new");
      CHECK(folder.entries() == 3);
    }
    CHECK(folder.entries() == 1);
    write_version(folder / "model", "third");
    CHECK(version_of(folder / "model") == "third");
  }
  CHECK(marked > 8);
}

TEST_CASE("killed while a user's folder is overwritten, a run leaves the user's files or the whole new folder") {
  for (const bool exchange : {true, false}) {
    const During setting(without_exchange, !exchange);
    int calls = 0;
    for (bool died = true; died; ++calls) {
      CAPTURE(calls);
      TemporaryFolder folder;
      folder.write("model/config.json", "a user's");
      folder.write("model/notes.txt", "a user's");
      died = dies_in(calls, [&] { write_version(folder / "model", "new", true); });
      { OutputFolder next(folder / "model", {.overwrite = true, .among_others = {}, .on_notice = {}}); }
      const bool users =
          std::filesystem::exists(folder / "model/notes.txt") && read_file(folder / "model/config.json") == "a user's";
      CHECK((users || version_of(folder / "model") == "new"));
    }
  }
}

TEST_CASE("leftovers are named; those that nothing marks as the program's stay") {
  TemporaryFolder folder;
  write_version(folder / "model", "one");
  folder.write(".model.tmp-12-0/model.safetensors", "of an older version");
  folder.write(".model.old-12-1/letters.txt", "a user's");
  folder.write(".model.tmp-x-0/letters.txt", "a user's");
  folder.write(".models.tmp-12-0/letters.txt", "another output's");
  folder.write(".model.tmp-12-7", "a file");
  const int killed = 12;
  REQUIRE(dies_in(killed, [&] { write_version(folder / "model", "two"); }));
  std::filesystem::create_directory(folder / ".model.tmp-12-2");
  std::vector<std::string> notices;
  write_version(folder / "model", "three", false, &notices);
  std::string all;
  for (const auto& line : notices) all += line + "\n";
  CHECK(has(all, ".model.tmp-12-0: left as it is; nothing in it says that this version of the program wrote it"));
  CHECK(has(all, ".model.old-12-1: left as it is; nothing"));
  CHECK(has(all, ".model.tmp-12-2: removed; a killed run had left it"));
  CHECK(notices.size() == 4);
  CHECK(version_of(folder / "model") == "three");
  CHECK(read_file(folder / ".model.tmp-12-0/model.safetensors") == "of an older version");
  CHECK(read_file(folder / ".model.old-12-1/letters.txt") == "a user's");
  CHECK(read_file(folder / ".model.tmp-x-0/letters.txt") == "a user's");
  CHECK(folder.entries() == 6);
}

TEST_CASE("a leftover whose list cannot be read stays, and the reason is told") {
  TemporaryFolder folder;
  const auto list = folder.write(".model.tmp-12-0/greentrainer-files.json", "");
  std::filesystem::resize_file(list, 65 << 20);  // more than is read
  std::vector<std::string> notices;
  write_version(folder / "model", "one", false, &notices);
  REQUIRE(notices.size() == 1);
  CHECK(has(notices[0], ".model.tmp-12-0: left as it is; its list could not be read, a later run looks at it again: "));
  CHECK(has(notices[0], "greentrainer-files.json: expected at most"));
  CHECK(version_of(folder / "model") == "one");
  CHECK(std::filesystem::exists(list));
}

TEST_CASE("a folder that an older version moved aside before it was killed is moved back") {
  TemporaryFolder folder;
  folder.write(".model.old-12-1/config.json", "old");
  std::vector<std::string> notices;
  const OutputOptions options{
      .overwrite = false, .among_others = {}, .on_notice = [&](const std::string& line) { notices.push_back(line); }};
  CHECK_THROWS_AS(OutputFolder(folder / "model", options), OutputOccupied);  // it is the user's, and back
  CHECK(read_file(folder / "model/config.json") == "old");
  REQUIRE(notices.size() == 1);
  CHECK(has(notices[0], "moved back to "));
  CHECK(folder.entries() == 1);
}

TEST_CASE("a folder that cannot be forced to disk is an error, and the older one stays") {
  TemporaryFolder folder;
  write_version(folder / "model", "old");
  folder.write("file", "old");
  {
    const During setting(failing_folder_sync, true);
    CHECK(has(error_of<SaveError>([&] { write_version(folder / "model", "new"); }), "expected to force it to disk"));
    CHECK(has(error_of<SaveError>([&] { atomic_write_file(folder / "file", "new"); }), "expected to force it to disk"));
  }
  CHECK(version_of(folder / "model") == "old");
  CHECK(folder.entries() == 2);
}

TEST_CASE("a second run of the same output is refused by the first one's number, until that one ends") {
  TemporaryFolder folder;
  std::filesystem::create_directory_symlink("model", folder / "link");
  {
    const OutputFolder first(folder / "model");
    for (const char* name : {"model", "model/", "link", "./other/../model"}) {
      CAPTURE(name);
      const std::string error = error_of<OutputInUse>([&] { OutputFolder second(folder / name); });
      CHECK(has(error, "got one that process " + std::to_string(::getpid()) + " on "));
    }
    const OutputFolder another(folder / "model-2");
    int status = 0;  // a process that it starts does not keep the lock
    const pid_t child = ::fork();
    if (child == 0) ::execl("/bin/sleep", "sleep", "2", nullptr);
    ::waitpid(child, &status, WNOHANG);
  }
  write_version(folder / "model", "second");
  REQUIRE(dies_in(30, [&] { write_version(folder / "model", "third"); }));
  CHECK(std::filesystem::exists(folder / ".model.output-lock"));  // left by a killed process: used again
  write_version(folder / "model", "fourth");
  CHECK(version_of(folder / "model") == "fourth");
  CHECK(folder.entries() == 2);
}

TEST_CASE("a file that is not the program's lock is neither written nor removed") {
  TemporaryFolder folder;
  folder.write(".model.output-lock", "a user's");
  CHECK(has(error_of<SaveError>([&] { OutputFolder output(folder / "model"); }), "expected this program's lock"));
  CHECK(read_file(folder / ".model.output-lock") == "a user's");
  std::filesystem::remove(folder / ".model.output-lock");
  folder.write("letter", "a user's");
  std::filesystem::create_symlink("letter", folder / ".model.output-lock");
  CHECK_THROWS_AS(OutputFolder(folder / "model"), SaveError);
  CHECK(read_file(folder / "letter") == "a user's");
}
