#include "greentrainer/io/file.hpp"

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

TEST_CASE("MappedFile shows the bytes of regular files") {
  TemporaryFolder folder;
  MappedFile file(folder.write("a", "hello"));
  const MappedFile moved(std::move(file));
  REQUIRE(moved.bytes().size() == 5);
  CHECK(moved.bytes()[4] == std::byte{'o'});
  CHECK(MappedFile(folder.write("empty", "")).bytes().empty());
  CHECK_THROWS_AS(MappedFile(folder / "absent"), LoadError);
  CHECK_THROWS_AS(MappedFile(folder.path()), LoadError);
  CHECK_THROWS_AS(MappedFile("/dev/null"), LoadError);
}
