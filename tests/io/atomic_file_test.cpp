#include "greentrainer/io/atomic_file.hpp"

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("atomic writes replace the target and leave nothing beside it") {
  TemporaryFolder folder;
  const auto path = folder.write("a", "old");
  atomic_write_file(path, "new");
  CHECK(read_file(path) == "new");
  atomic_write_file(folder / "b", "");
  CHECK(read_file(folder / "b").empty());
  CHECK(folder.entries() == 2);
}

TEST_CASE("without a commit the old file stays as it was") {
  TemporaryFolder folder;
  const auto path = folder.write("a", "old");
  {
    AtomicFile file(path);
    file.write("half of the new cont");
    CHECK(read_file(path) == "old");
  }
  CHECK(read_file(path) == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("a text that comes in pieces is there once all of it came, and not before") {
  TemporaryFolder folder;
  const auto path = folder.write("a", "old");
  std::string all;
  atomic_write_pieces(path, [&](const TextSink& sink) {
    for (int i = 0; i < 30000; ++i) {
      const std::string piece = i == 7 ? std::string(100000, '-') : text(i, ' ');
      sink(piece);
      all += piece;
    }
    CHECK(read_file(path) == "old");
  });
  CHECK(read_file(path) == all);
  atomic_write_pieces(folder / "empty", [](const TextSink&) {});
  CHECK(read_file(folder / "empty").empty());
  const auto fail = [](const TextSink& sink) {
    sink("half");
    throw LoadError("test", "pieces", "expected more, got none");
  };
  CHECK_THROWS_AS(atomic_write_pieces(path, fail), LoadError);
  CHECK(read_file(path) == all);
  CHECK(folder.entries() == 2);
}

TEST_CASE("targets that cannot be written are SaveErrors that name them") {
  TemporaryFolder folder;
  CHECK(has(error_of<SaveError>([&] { atomic_write_file(folder / "absent/a", "x"); }), "absent/a"));
  folder.write("sub/file", "kept");
  CHECK(has(error_of<SaveError>([&] { atomic_write_file(folder / "sub", "x"); }),
            "sub"));  // a folder is in the way: found at the rename
  CHECK(read_file(folder / "sub/file") == "kept");
  CHECK(folder.entries() == 1);
}
