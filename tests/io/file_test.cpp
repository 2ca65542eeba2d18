#include "greentrainer/io/file.hpp"

#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("read_file reads whole files within its limit") {
  TemporaryFolder folder;
  const std::string bytes(200'000, 'x');
  const auto path = folder.write("a", bytes);
  CHECK(read_file(path) == bytes);
  CHECK(read_file(path, 200'000) == bytes);
  CHECK(has(error_of<LoadError>([&] { read_file(path, 199'999); }), path.string()));
  CHECK(read_file(folder.write("empty", "")).empty());
  CHECK(has(error_of<LoadError>([&] { read_file(folder / "absent"); }), "absent"));
  CHECK(has(error_of<LoadError>([&] { read_file(folder.path()); }), "folder"));
}

TEST_CASE("a pipe is read where pipes are expected, and never waited for where they are not") {
  TemporaryFolder folder;
  const auto pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(has(error_of<LoadError>([&] { read_file(pipe); }), "expected a regular file, got a pipe or a device"));
  CHECK(has(error_of<LoadError>([&] { RandomAccessFile file(pipe); }), "pipe"));
  CHECK(has(error_of<LoadError>([&] { read_file("/dev/zero"); }), "device"));
  std::thread writer([&] { std::ofstream(pipe) << "through a pipe"; });
  CHECK(read_file(pipe, 100, FileKind::any) == "through a pipe");
  writer.join();
}

TEST_CASE("RandomAccessFile reads the bytes of regular files, wherever") {
  TemporaryFolder folder;
  RandomAccessFile file(folder.write("a", "hello"));
  const RandomAccessFile moved(std::move(file));
  REQUIRE(moved.size() == 5);
  std::array<std::byte, 3> bytes{};
  moved.read(2, bytes);
  CHECK(bytes == std::array{std::byte{'l'}, std::byte{'l'}, std::byte{'o'}});
  CHECK_THROWS_AS(moved.read(3, bytes), LoadError);
  CHECK(RandomAccessFile(folder.write("empty", "")).size() == 0);
  CHECK_THROWS_AS(RandomAccessFile(folder / "absent"), LoadError);
  CHECK_THROWS_AS(RandomAccessFile(folder.path()), LoadError);
  CHECK_THROWS_AS(RandomAccessFile("/dev/null"), LoadError);
}

TEST_CASE("a file that becomes shorter while it is read is an error that names it") {
  TemporaryFolder folder;
  const auto path = folder.write("weights", std::string(100'000, 'x'));
  const RandomAccessFile file(path);
  std::vector<std::byte> bytes(file.size());
  file.read(0, bytes);
  std::filesystem::resize_file(path, 50'000);
  const std::string says = error_of<LoadError>([&] { file.read(0, bytes); });
  CHECK(has(says, path.string() + ": expected 100000 bytes, got its end at byte 50000"));
}
