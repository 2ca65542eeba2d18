#include "greentrainer/io/output_folder.hpp"

#include <doctest/doctest.h>

#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/folder_manifest.hpp"
#include "greentrainer/io/json.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// Writes a whole output: config.json with `config`, and a file in a sub-folder.
void write_output(const std::filesystem::path& target, const std::string& config, OutputOptions options = {}) {
  OutputFolder output(target, std::move(options));
  atomic_write_file(output.path() / "config.json", config);
  std::filesystem::create_directory(output.path() / "sub");
  atomic_write_file(output.path() / "sub" / "x", config + " in sub");
  output.commit();
}

std::string refusal(const std::filesystem::path& target) {
  return error_of<OutputOccupied>([&] { OutputFolder output(target); });
}

}  // namespace

TEST_CASE("an output folder appears at commit, parents included, with a list of its files") {
  TemporaryFolder folder;
  const auto target = folder / "runs/one";
  {
    OutputFolder output(target);
    atomic_write_file(output.path() / "config.json", "{}");
    std::filesystem::create_directory(output.path() / "sub");
    atomic_write_file(output.path() / "sub" / "x", "abc");
    CHECK_FALSE(std::filesystem::exists(target));
    output.commit();
  }
  CHECK(read_file(target / "config.json") == "{}");
  CHECK(read_file(target / "sub" / "x") == "abc");
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "runs"), {}) == 1);
  const Json manifest = read_json_file(target / "greentrainer-files.json");
  CHECK(manifest["files"].size() == 2);
  CHECK(manifest["files"]["sub/x"]["bytes"] == 3);
  CHECK(manifest["files"]["sub/x"]["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("without a commit nothing is left, parents that were made for it included") {
  TemporaryFolder folder;
  { OutputFolder output(folder / "new/parents/one"); }
  CHECK(folder.entries() == 0);
}

TEST_CASE("an output of the program's is replaced as a whole, and only at commit") {
  TemporaryFolder folder;
  write_output(folder / "model", "old");
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
  CHECK_FALSE(std::filesystem::exists(folder / "model/sub"));
  CHECK(folder.entries() == 1);
}

TEST_CASE("a folder with a file that the program did not write is never replaced, whatever its files are called") {
  TemporaryFolder folder;
  folder.write("project/config.json", "{}");
  folder.write("project/main.py", "print()");
  folder.write("project/src/lib.py", "");
  const std::string project = refusal(folder / "project");
  CHECK(has(project, "project: expected nothing there but what this program wrote, got config.json, main.py, src/"));
  CHECK(has(project, "no greentrainer-files.json"));
  CHECK(has(project, "overwrite"));

  for (const char* added : {"model.gguf", ".git/HEAD", "sub/notes.txt", "checkpoint-500/model.safetensors"}) {
    CAPTURE(added);
    write_output(folder / "model", "old", {.overwrite = true, .among_others = {}, .on_notice = {}});
    folder.write(std::string("model/") + added, "a user's");
    const auto shown = added == std::string(".git/HEAD")                          ? ".git/"
                       : added == std::string("checkpoint-500/model.safetensors") ? "checkpoint-500/"
                                                                                  : added;
    CHECK(has(refusal(folder / "model"), std::string("got ") + shown + ";"));
    CHECK(read_file(folder / "model" / added) == "a user's");
    CHECK(read_file(folder / "model/config.json") == "old");
  }
  write_output(folder / "model", "old", {.overwrite = true, .among_others = {}, .on_notice = {}});
  folder.write("model/sub/x", "old IN sub");  // of the same size
  CHECK(has(refusal(folder / "model"), "got sub/x (changed);"));
  write_output(folder / "model", "old", {.overwrite = true, .among_others = {}, .on_notice = {}});
  std::filesystem::create_symlink("config.json", folder / "model/link");
  std::filesystem::create_directory(folder / "model/empty");
  CHECK(has(refusal(folder / "model"), "got empty/, link;"));
  CHECK(folder.entries() == 2);
}

TEST_CASE("a refusal lists at most eight files") {
  TemporaryFolder folder;
  for (int i = 0; i < 100; ++i) folder.write("home/letter" + std::to_string(100 + i), "dear");
  CHECK(has(refusal(folder / "home"),
            "got letter100, letter101, letter102, letter103, letter104, letter105, "
            "letter106, letter107 and others"));
}

TEST_CASE("a list of files that leads out of its folder counts for nothing") {
  TemporaryFolder folder;
  folder.write("letters.txt", "abc");
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  for (const std::string name : {"../letters.txt", "/etc/passwd", "sub/../../letters.txt", ""}) {
    CAPTURE(name);
    const Json manifest = {{"format", "greentrainer-files"},
                           {"version", 1},
                           {"state", "written"},
                           {"files", {{name, {{"bytes", 3}, {"sha256", abc}}}}},
                           {"folders", Json::array()}};
    folder.write("model/greentrainer-files.json", manifest.dump());
    CHECK_FALSE(FolderManifest::read(folder / "model"));
  }
  // A folder of the list that is a link by now: what is behind it is not the output's.
  folder.write("elsewhere/x", "abc");
  write_output(folder / "tuned", "1");
  std::filesystem::remove_all(folder / "tuned/sub");
  std::filesystem::create_directory_symlink(folder / "elsewhere", folder / "tuned/sub");
  CHECK(has(refusal(folder / "tuned"), "got sub;"));
  const auto manifest = FolderManifest::read(folder / "tuned");
  REQUIRE(manifest);
  remove_listed(folder / "tuned", *manifest);
  CHECK(read_file(folder / "elsewhere/x") == "abc");
}

TEST_CASE("overwriting replaces a user's files, once the new ones are whole") {
  TemporaryFolder folder;
  folder.write("model/config.json", "a user's");
  folder.write("model/src/main.py", "a user's");
  const OutputOptions overwrite{.overwrite = true, .among_others = {}, .on_notice = {}};
  { OutputFolder output(folder / "model", overwrite); }
  CHECK(read_file(folder / "model/src/main.py") == "a user's");
  write_output(folder / "model", "new", overwrite);
  CHECK(read_file(folder / "model/config.json") == "new");
  CHECK_FALSE(std::filesystem::exists(folder / "model/src"));
  CHECK(folder.entries() == 1);
}

TEST_CASE("files, and paths that name no folder, are refused") {
  TemporaryFolder folder;
  folder.write("file", "x");
  CHECK(has(error_of<SaveError>([&] { OutputFolder output(folder / "file"); }), "file"));
  CHECK_THROWS_AS(OutputFolder(""), SaveError);
  CHECK_THROWS_AS(OutputFolder("/"), SaveError);
  CHECK(folder.entries() == 1);
}

TEST_CASE("a user's file that appears at the target while the run is on stays") {
  TemporaryFolder folder;
  {
    OutputFolder output(folder / "late");
    folder.write("late/letters.txt", "dear");
    CHECK_THROWS_AS(output.commit(), OutputOccupied);
  }
  CHECK(read_file(folder / "late/letters.txt") == "dear");
  write_output(folder / "model", "old");
  {
    OutputFolder output(folder / "model");
    folder.write("model/config.json", "OLD");  // the size is the same, and the file was looked at already
    CHECK(has(error_of<OutputOccupied>([&] { output.commit(); }), "config.json (changed)"));
  }
  CHECK(read_file(folder / "model/config.json") == "OLD");
  CHECK(folder.entries() == 2);
}

TEST_CASE("a commit that fails leaves the older folder") {
  TemporaryFolder folder;
  write_output(folder / "model", "old");
  OutputFolder output(folder / "model");
  std::filesystem::remove_all(output.path());  // as if someone had cleaned up
  CHECK_THROWS_AS(output.commit(), SaveError);
  CHECK(read_file(folder / "model/config.json") == "old");
}

TEST_CASE("the target keeps its permissions") {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "model");
  std::filesystem::permissions(folder / "model", std::filesystem::perms::owner_all);
  write_output(folder / "model", "new");
  CHECK(std::filesystem::status(folder / "model").permissions() == std::filesystem::perms::owner_all);
}

TEST_CASE("a symbolic link stays one: what it points to is written, if it can be") {
  TemporaryFolder folder;
  write_output(folder / "real", "old");
  std::filesystem::create_directory_symlink("real", folder / "link");
  write_output(folder / "link", "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(read_file(folder / "real/config.json") == "new");

  std::filesystem::create_directory_symlink("second", folder / "first");
  std::filesystem::create_directory_symlink("made", folder / "second");
  write_output(folder / "first", "through two links");
  CHECK(std::filesystem::is_symlink(folder / "first"));
  CHECK(read_file(folder / "made/config.json") == "through two links");

  std::filesystem::create_directory_symlink("volume/runs", folder / "unmounted");
  CHECK(has(error_of<SaveError>([&] { OutputFolder output(folder / "unmounted"); }), "is a volume not mounted?"));
  std::filesystem::create_directory_symlink("circle", folder / "circle");
  CHECK(has(error_of<SaveError>([&] { OutputFolder output(folder / "circle"); }), "circle"));
}

TEST_CASE("an output among other files replaces its own alone") {
  TemporaryFolder folder;
  const OutputOptions report{.overwrite = false, .among_others = {"report.md"}, .on_notice = {}};
  const auto write = [&](const std::string& contents, const OutputOptions& options) {
    OutputFolder output(folder / "results", options);
    atomic_write_file(output.path() / "report.md", contents);
    output.commit();
  };
  folder.write("results/notes.txt", "a user's");
  write("one", report);
  write("two", report);
  CHECK(read_file(folder / "results/report.md") == "two");
  CHECK(read_file(folder / "results/notes.txt") == "a user's");
  folder.write("results/report.md", "tow");
  CHECK(has(error_of<OutputOccupied>([&] { write("three", report); }), "got report.md;"));
  CHECK(read_file(folder / "results/report.md") == "tow");
  write("four", {.overwrite = true, .among_others = {"report.md"}, .on_notice = {}});
  CHECK(read_file(folder / "results/report.md") == "four");
  CHECK(read_file(folder / "results/notes.txt") == "a user's");
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "results"), {}) == 3);
}

TEST_CASE("room that is not there is said before anything is written") {
  TemporaryFolder folder;
  const OutputFolder output(folder / "model");
  output.expect_room(1000, 1000);
  const std::string error = error_of<SaveError>([&] { output.expect_room(Bytes{1} << 60, 1000); });
  CHECK(has(error, "expected room for 1152921504606846976 bytes, got "));
}
