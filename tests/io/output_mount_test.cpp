// Outputs that are mount points, with real mounts where the system lets us make some: file systems in memory and bind
// mounts, in a name space of this process alone.

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/output_folder.hpp"
#include "greentrainer/io/output_lock.hpp"
#include "support/skip.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// Whether this process has mounts of its own now.
bool own_mounts() {
  static const bool own =
      ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  return own;
}

/// A mount that goes with its scope.
struct Mount {
  explicit Mount(const std::filesystem::path& folder, const char* options = "size=1m") : path(folder) {
    std::filesystem::create_directories(path);
    mounted = ::mount("none", path.c_str(), "tmpfs", 0, options) == 0;
  }
  Mount(const std::filesystem::path& from, const std::filesystem::path& folder) : path(folder) {
    std::filesystem::create_directories(from);
    std::filesystem::create_directories(path);
    mounted = ::mount(from.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0;
  }
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;
  ~Mount() {
    if (mounted) ::umount2(path.c_str(), MNT_DETACH);
  }
  std::filesystem::path path;
  bool mounted = false;
};

void write_output(const std::filesystem::path& target, const std::string& version, bool overwrite = false) {
  OutputFolder output(target, {.overwrite = overwrite, .among_others = {}, .on_notice = {}});
  atomic_write_file(output.path() / "config.json", version);
  atomic_write_file(output.path() / ("only-" + version), version);
  output.commit();
}

std::size_t entries(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

}  // namespace

TEST_CASE("a mount point is written from inside, and replaced like any other output") {
  if (!own_mounts()) GREENTRAINER_SKIP("mounts of one's own are not permitted");
  const TemporaryFolder folder;
  for (const bool bind : {false, true}) {  // another file system, and the same one mounted a second time
    CAPTURE(bind);
    const std::filesystem::path target = folder / (bind ? "bound" : "volume");
    const Mount mount = bind ? Mount(folder / "source", target) : Mount(target);
    REQUIRE(mount.mounted);
    std::filesystem::create_directory(target / "lost+found");  // as a new ext4 has it
    write_output(target, "one");
    CHECK(read_file(target / "config.json") == "one");
    write_output(target, "two");
    CHECK(read_file(target / "config.json") == "two");
    CHECK(entries(target) == 4);  // two files, their list, lost+found
    { const OutputFolder dropped(target); }
    CHECK(entries(target) == 4);
    std::filesystem::create_directory(target / "users");
    CHECK(has(error_of<OutputOccupied>([&] { write_output(target, "three"); }), "got users/;"));
    write_output(target, "three", true);
    CHECK(read_file(target / "config.json") == "three");
    CHECK(entries(target) == 4);
    if (bind) CHECK(read_file(folder / "source/config.json") == "three");
  }
}

TEST_CASE("two runs with one mount point as output are kept apart, by whatever name they reach it") {
  if (!own_mounts()) GREENTRAINER_SKIP("mounts of one's own are not permitted");
  const TemporaryFolder folder;
  const Mount first(folder / "source", folder / "first"), second(folder / "source", folder / "second");
  REQUIRE((first.mounted && second.mounted));
  const OutputFolder output(folder / "first");
  CHECK_THROWS_AS(OutputFolder(folder / "second"), OutputInUse);
}

TEST_CASE("a full file system is known before anything is written, and costs nothing that was there") {
  if (!own_mounts()) GREENTRAINER_SKIP("mounts of one's own are not permitted");
  const TemporaryFolder folder;
  const Mount mount(folder / "volume");
  REQUIRE(mount.mounted);
  for (const char* name : {"volume/model", "volume"}) {
    CAPTURE(name);
    std::filesystem::remove_all(folder / "volume/model");
    write_output(folder / name, "old");
    OutputFolder output(folder / name);
    output.expect_room(500'000, 500'000);
    CHECK(has(error_of<SaveError>([&] { output.expect_room(1 << 20, 1 << 20); }), "expected room for 1048576 bytes"));
    CHECK(has(error_of<SaveError>([&] {
                atomic_write_file(output.path() / "config.json", std::string(2'000'000, 'x'));
                output.commit();
              }),
              "No space left on device"));
    CHECK(read_file(folder / name / "config.json") == "old");
  }
}

TEST_CASE("a folder whose parent cannot be written to is written from inside") {
  if (!own_mounts()) GREENTRAINER_SKIP("mounts of one's own are not permitted");
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "parent");
  Mount parent(folder / "parent");
  REQUIRE(parent.mounted);
  const Mount target(folder / "parent/model");
  REQUIRE(target.mounted);
  REQUIRE(::mount("none", parent.path.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0);
  CHECK_THROWS_AS(OutputFolder(folder / "parent/other"), SaveError);
  write_output(folder / "parent/model", "new");
  CHECK(read_file(folder / "parent/model/config.json") == "new");
}
