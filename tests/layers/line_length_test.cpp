// Lines of sources, scripts and prose have at most 120 columns. Tables, addresses and texts that cannot be divided (raw
// strings) may be longer.

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "../support/paths.hpp"

namespace {

constexpr std::size_t most_columns = 120;

std::size_t columns(std::string_view line) {
  std::size_t count = 0;
  for (const char c : line) count += (static_cast<unsigned char>(c) & 0xC0U) == 0x80U ? 0 : 1;  // of UTF-8
  return count;
}

bool is_too_long(std::string_view line) {
  if (columns(line) <= most_columns) return false;
  const std::size_t first = line.find_first_not_of(" /");
  const bool table = first != std::string_view::npos && line[first] == '|';
  return !table && line.find("://") == std::string_view::npos && line.find("R\"") == std::string_view::npos;
}

bool is_text_of_ours(const std::filesystem::path& path) {
  static const std::set<std::string> extensions = {".hpp", ".cpp", ".cu", ".cuh",   ".h",   ".py",
                                                   ".sh",  ".md",  ".in", ".cmake", ".toml"};
  return extensions.contains(path.extension().string()) || path.filename() == "CMakeLists.txt";
}

}  // namespace

TEST_CASE("no line of a source, a script or a document is longer than 120 columns") {
  const std::filesystem::path root = greentrainer::testing::source_folder();
  std::size_t files = 0;
  const auto check = [&](const std::filesystem::path& path) {
    if (!is_text_of_ours(path)) return;
    ++files;
    std::ifstream in(path);
    std::size_t number = 0;
    for (std::string line; std::getline(in, line);) {
      ++number;
      if (is_too_long(line))
        FAIL_CHECK(path.lexically_relative(root).string() << ":" << number << ": " << columns(line) << " columns");
    }
  };
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (entry.is_regular_file()) check(entry.path());
  }
  for (const char* folder : {"backends", "benchmarks", "cmake", "docs", "examples", "findings", "include", "packaging",
                             "scripts", "tests"}) {
    for (auto entry = std::filesystem::recursive_directory_iterator(root / folder);
         entry != std::filesystem::recursive_directory_iterator(); ++entry) {
      const std::string name = entry->path().lexically_relative(root).generic_string();
      if (name == "benchmarks/results" || name == "examples/data" || name == "tests/golden")
        entry.disable_recursion_pending();
      if (entry->is_regular_file()) check(entry->path());
    }
  }
  CHECK(files > 300);
}

TEST_CASE("a line that is too long is found; a table, an address and a text of many bytes are not") {
  const std::string words(121, 'x');
  CHECK(is_too_long(words));
  CHECK(is_too_long("// " + words));
  CHECK_FALSE(is_too_long(words.substr(1)));
  CHECK_FALSE(is_too_long("| " + words + " |"));
  CHECK_FALSE(is_too_long("https://" + words));
  std::string umlauts;
  for (int i = 0; i < 120; ++i) umlauts += "\u00FC";
  CHECK_FALSE(is_too_long(umlauts));
  CHECK(is_too_long(umlauts + "\u00FC"));
}
