// Entries come back as they were put, or not at all: damaged, cut short, or of another example, run or selection, they
// are named and left out.

#include <csignal>
#include <sys/resource.h>

#include <doctest/doctest.h>

#include "greentrainer/train/disk_prefix_store.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

std::vector<std::byte> bytes_of(std::size_t count, unsigned first) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(first + 7 * i);
  return bytes;
}
PrefixKey key(std::uint64_t example) { return {.example = example, .tokens = 1000 + example}; }

bool comes_back(PrefixStore& store, const PrefixKey& key, const std::vector<std::byte>& expected) {
  const auto entry = store.get(key, expected.size());
  return entry && std::equal(entry->begin(), entry->end(), expected.begin(), expected.end());
}

/// Changes bytes of a store's file behind its back.
void write_at(const DiskPrefixStore& store, Bytes offset, std::span<const std::byte> bytes) {
  REQUIRE(::pwrite(store.file().descriptor(), bytes.data(), bytes.size(), offset) ==
          static_cast<ssize_t>(bytes.size()));
}
std::vector<std::byte> read_at(const DiskPrefixStore& store, Bytes offset, std::size_t count) {
  std::vector<std::byte> bytes(count);
  REQUIRE(::pread(store.file().descriptor(), bytes.data(), count, offset) == static_cast<ssize_t>(count));
  return bytes;
}

std::string only_warning(PrefixStore& store) {
  const auto warnings = store.take_warnings();
  REQUIRE(warnings.size() == 1);
  CHECK(store.take_warnings().empty());
  return warnings.front();
}

}  // namespace

TEST_CASE("a change of any one bit changes the sum of the bytes") {
  const std::vector<std::byte> bytes = bytes_of(37, 3);
  const auto sum = [](std::span<const std::byte> of) {
    Checksum checksum;
    checksum.add(of);
    return checksum.value();
  };
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::vector<std::byte> other = bytes;
    other[bit / 8] ^= std::byte{1} << (bit % 8);
    CHECK(sum(other) != sum(bytes));
  }
  CHECK(sum(std::span(bytes).first(36)) != sum(bytes));
  CHECK(sum(std::vector<std::byte>(8)) != sum(std::vector<std::byte>(16)));
}

TEST_CASE("both stores give entries back, count their bytes, and know examples apart") {
  TemporaryFolder folder;
  MemoryPrefixStore memory;
  DiskPrefixStore disk(folder.path());
  disk.reserve(10000);
  for (PrefixStore* store : std::initializer_list<PrefixStore*>{&memory, &disk}) {
    const auto a = bytes_of(100, 1), b = bytes_of(33, 2), none = bytes_of(0, 0);
    store->put(key(4), a);
    store->put(key(9), b);
    store->put(key(2), none);
    CHECK(store->bytes() == 133 + 3 * store->beside_each());
    CHECK(comes_back(*store, key(9), b));
    CHECK(comes_back(*store, key(4), a));
    CHECK(comes_back(*store, key(2), none));
    CHECK_FALSE(store->get(key(5), 100));
    CHECK(store->take_warnings().empty());
    // Another example under the same number, as one of another length, is not there; nor is it afterwards.
    CHECK_FALSE(store->get({.example = 4, .tokens = 7}, 100));
    CHECK_FALSE(store->holds(4));
    CHECK_FALSE(store->get(key(9), 34));
    CHECK_FALSE(store->holds(9));
    store->clear();
    CHECK(store->bytes() == 0);
    CHECK_FALSE(store->holds(2));
    CHECK_FALSE(store->get(key(2), 0));
    store->put(key(4), b);
    CHECK(comes_back(*store, key(4), b));
  }
  CHECK(folder.entries() == 0);  // the file has no name
}

TEST_CASE("what is not as it was written is named once and left out") {
  TemporaryFolder folder;
  DiskPrefixStore store(folder.path());
  const auto a = bytes_of(100, 1), b = bytes_of(100, 2);
  store.put(key(0), a);
  store.put(key(1), b);
  const Bytes size = store.beside_each() + 100;
  const std::string name = folder.path().string() + ", entry of example 1: ";
  const auto left_out = [&](const char* why) {
    CHECK_FALSE(store.get(key(1), 100));
    CHECK_FALSE(store.holds(1));
    const std::string warning = only_warning(store);
    CHECK(has(warning, name));
    CHECK(has(warning, why));
    CHECK(comes_back(store, key(0), a));
    store.put(key(1), b);
    CHECK(comes_back(store, key(1), b));
  };
  SUBCASE("a bit of an entry") {
    auto damaged = read_at(store, size + store.beside_each() + 50, 1);
    damaged[0] ^= std::byte{0x10};
    write_at(store, size + store.beside_each() + 50, damaged);
    left_out("damaged bytes");
  }
  SUBCASE("every byte of its header") {
    for (Bytes at = 0; at < store.beside_each(); ++at) {
      CAPTURE(at);
      DiskPrefixStore other(folder.path());
      other.put(key(1), b);
      auto damaged = read_at(other, at, 1);
      damaged[0] ^= std::byte{1};
      write_at(other, at, damaged);
      CHECK_FALSE(other.get(key(1), 100));
    }
  }
  SUBCASE("the entry of another example") {
    write_at(store, size, read_at(store, 0, static_cast<std::size_t>(size)));
    left_out("one of another example");
  }
  SUBCASE("the entry of another model or run, whole and of the same example") {
    DiskPrefixStore other(folder.path());
    other.put(key(1), a);
    write_at(store, size, read_at(other, 0, static_cast<std::size_t>(size)));
    left_out("one of another run, model or selection");
  }
  SUBCASE("a stale entry of the selection before") {
    const auto stale = read_at(store, size, static_cast<std::size_t>(size));
    store.clear();
    store.put(key(0), a);
    store.put(key(1), b);
    write_at(store, size, stale);
    left_out("one of another run, model or selection");
  }
  SUBCASE("a file that was cut short") {
    REQUIRE(::ftruncate(store.file().descriptor(), size + 80) == 0);
    left_out("its end at byte");
  }
  SUBCASE("many at once") {
    REQUIRE(::ftruncate(store.file().descriptor(), 0) == 0);
    CHECK_FALSE(store.get(key(0), 100));
    CHECK_FALSE(store.get(key(1), 100));
    CHECK(has(only_warning(store), "example 0"));
  }
}

TEST_CASE("a disk that is full is refused beforehand, and named when it becomes so") {
  struct FileSizeLimit {  // as a quota: writing beyond it fails
    explicit FileSizeLimit(rlim_t bytes) {
      std::signal(SIGXFSZ, SIG_IGN);
      ::getrlimit(RLIMIT_FSIZE, &before);
      const rlimit limit{bytes, before.rlim_max};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before); }
    rlimit before{};
  };
  TemporaryFolder folder;
  DiskPrefixStore store(folder.path());
  const auto a = bytes_of(100, 1);
  std::string refused, warning;
  {
    const FileSizeLimit limit(400);
    refused = error_of<ConfigError>([&] { store.reserve(401); });
    for (std::uint64_t example = 0; example < 5; ++example) store.put(key(example), a);
    const auto warnings = store.take_warnings();
    if (warnings.size() == 1) warning = warnings.front();
  }
  CHECK(has(refused, "prefix_cache_folder: " + folder.path().string() + ": expected room for 401 bytes"));
  CHECK(has(warning, folder.path().string() + ": expected to write on after 312 bytes"));
  CHECK(store.bytes() == 312);
  CHECK(store.capacity() == 312);
  CHECK(comes_back(store, key(1), a));
  CHECK_FALSE(store.holds(2));
  store.clear();  // what it has room for can be used again
  store.put(key(2), a);
  CHECK(comes_back(store, key(2), a));
}

TEST_CASE("a folder that no file can be made in is a ConfigError that names it") {
  TemporaryFolder folder;
  const auto error = [](const std::filesystem::path& path) {
    return error_of<ConfigError>([&] { DiskPrefixStore store(path); });
  };
  CHECK(has(error(folder / "absent"), "prefix_cache_folder: " + (folder / "absent").string() + ": expected a folder"));
  CHECK(has(error(folder.write("file", "kept")), "expected a folder that files can be made in"));
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  const bool root = ::geteuid() == 0;  // who may write anywhere
  if (root) REQUIRE(::seteuid(65534) == 0);
  const std::string read_only = error(folder.path());
  if (root) REQUIRE(::seteuid(0) == 0);
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  CHECK(has(read_only, "Permission denied"));
  CHECK(folder.entries() == 1);
}
