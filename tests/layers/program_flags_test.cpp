// The library is used by other programs than ours: its texts name its own options, such as max_tokens, and no flags.

#include <cctype>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "../support/paths.hpp"

namespace {

/// Places of a source where a flag of a program begins, as in "--max-tokens". A decrement stands before a letter too,
/// but not within a text or a comment, nor behind a space, a quote or a bracket there.
std::vector<std::size_t> program_flags(std::string_view source) {
  std::vector<std::size_t> found;
  enum class In { code, text, comment, block } in = In::code;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const auto ahead = source.substr(i);
    if (in == In::code) {
      if (ahead.starts_with("//")) in = In::comment;
      if (ahead.starts_with("/*")) in = In::block;
      if (ahead.starts_with("'\"'") || ahead.starts_with("'\\\"'")) i += 2;
      if (source[i] == '"') in = In::text;
      continue;
    }
    if ((in == In::text && source[i] == '"') || (in == In::comment && source[i] == '\n') ||
        (in == In::block && ahead.starts_with("*/"))) {
      in = In::code;
      continue;
    }
    if (in == In::text && source[i] == '\\') {
      ++i;
      continue;
    }
    const bool begins = i > 0 && std::string_view(" \"'`([|,").find(source[i - 1]) != std::string_view::npos;
    if (begins && ahead.starts_with("--") && ahead.size() > 2 &&
        std::islower(static_cast<unsigned char>(ahead[2])) != 0)
      found.push_back(i);
  }
  return found;
}

}  // namespace

TEST_CASE("no message or comment of the library names a program's flag") {
  const std::filesystem::path root = greentrainer::testing::source_folder();
  std::size_t files = 0;
  for (const char* folder : {"include", "backends"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".hpp" && extension != ".cpp" && extension != ".cu" && extension != ".cuh") continue;
      std::ifstream in(entry.path(), std::ios::binary);
      const std::string source{std::istreambuf_iterator<char>(in), {}};
      for (const std::size_t at : program_flags(source))
        FAIL_CHECK(entry.path().string() << ": a flag of a program: " << source.substr(at, 30));
      ++files;
    }
  }
  CHECK(files > 100);
}

TEST_CASE("a planted flag is found in a text and in a comment") {
  CHECK(program_flags("throw E(\"--rho: expected\");").size() == 1);
  CHECK(program_flags("throw E(\"got more; lower --max-tokens\");").size() == 1);
  CHECK(program_flags("\"a \\\" quote, then (--dataset)\"").size() == 1);
  CHECK(program_flags("'\"'; x = \"--a\"").size() == 1);
  CHECK(program_flags("/// for --help\nint x;").size() == 1);
  CHECK(program_flags("/* `--json` */").size() == 1);
}

TEST_CASE("decrements and comments are not taken for program flags") {
  CHECK(program_flags("for (; n > 0; --n) f(--m); // from -- to").empty());
  CHECK(program_flags("\"a -- b\", '\"', --n, \"x--y\"").empty());
}
