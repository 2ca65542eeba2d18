#include "greentrainer/io/output_folder.hpp"

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("an output folder appears at commit, parents included") {
  TemporaryFolder folder;
  const auto target = folder / "runs/one";
  OutputFolder output(target);
  atomic_write_file(output.path() / "config.json", "{}");
  std::filesystem::create_directory(output.path() / "sub");
  atomic_write_file(output.path() / "sub" / "x", "1");
  CHECK_FALSE(std::filesystem::exists(target));
  output.commit();
  CHECK(read_file(target / "config.json") == "{}");
  CHECK(read_file(target / "sub" / "x") == "1");
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "runs"), {}) == 1);
}

TEST_CASE("an older model is replaced as a whole, and only at commit") {
  TemporaryFolder folder;
  folder.write("model/config.json", "old");
  folder.write("model/extra", "old");
  {
    OutputFolder output(folder / "model");
    atomic_write_file(output.path() / "config.json", "half");
  }
  CHECK(read_file(folder / "model/config.json") == "old");
  CHECK(folder.entries() == 1);
  {
    OutputFolder output(folder.path().string() + "/model/");  // a trailing slash is the same folder
    atomic_write_file(output.path() / "config.json", "new");
    CHECK(read_file(folder / "model/config.json") == "old");
    output.commit();
  }
  CHECK(read_file(folder / "model/config.json") == "new");
  CHECK_FALSE(std::filesystem::exists(folder / "model/extra"));
  CHECK(folder.entries() == 1);
}

TEST_CASE("folders that are no models, and files, are never replaced") {
  TemporaryFolder folder;
  folder.write("home/letters.txt", "dear");
  folder.write("file", "x");
  CHECK(has(error_of<SaveError>([&] { OutputFolder output(folder / "home"); }), "home"));
  CHECK(has(error_of<SaveError>([&] { OutputFolder output(folder / "file"); }), "file"));
  CHECK_THROWS_AS(OutputFolder(""), SaveError);
  CHECK_THROWS_AS(OutputFolder("/"), SaveError);
  CHECK(folder.entries() == 2);

  OutputFolder output(folder / "late");
  folder.write("late/letters.txt", "dear");  // appears while the run is on
  CHECK_THROWS_AS(output.commit(), SaveError);
  CHECK(read_file(folder / "late/letters.txt") == "dear");
}

TEST_CASE("a commit that cannot put the folder in place brings the older one back") {
  TemporaryFolder folder;
  folder.write("model/config.json", "old");
  OutputFolder output(folder / "model");
  std::filesystem::remove_all(output.path());  // as if someone had cleaned up
  CHECK_THROWS_AS(output.commit(), SaveError);
  CHECK(read_file(folder / "model/config.json") == "old");
}

TEST_CASE("a symbolic link to a model keeps pointing to it") {
  TemporaryFolder folder;
  folder.write("real/config.json", "old");
  std::filesystem::create_directory_symlink(folder / "real", folder / "link");
  OutputFolder output(folder / "link");
  atomic_write_file(output.path() / "config.json", "new");
  output.commit();
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(read_file(folder / "real/config.json") == "new");
}
