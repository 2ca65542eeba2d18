// gzip files: what they hold, and what is refused.

#include "greentrainer/io/gzip.hpp"

#include <string>

#include <doctest/doctest.h>

#include "support/gzip.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

std::string refusal(std::string_view bytes, Bytes limit = 1 << 20) {
  return error_of<LoadError>([&] { decompress_gzip(bytes, limit, "rows.gz"); });
}

}  // namespace

TEST_CASE("a gzip file gives back what was compressed, of any size, of one member or several") {
  std::string long_text;
  for (long i = 0; i < 100000; ++i) long_text += std::to_string(i * i % 7919) + "\n";
  CHECK(long_text.size() > (1 << 18));  // more than a piece
  for (const std::string& text : {std::string(), std::string("one"), long_text}) {
    CHECK(decompress_gzip(gzip(text), 1 << 20, "rows.gz") == text);
    CHECK(decompress_gzip(gzip(text) + gzip("two"), 1 << 20, "rows.gz") == text + "two");
  }
}

TEST_CASE("more than the limit is refused before it is there, however small the file") {
  const std::string bomb = gzip(std::string(1 << 22, 'a'));
  CHECK(bomb.size() < 10000);
  CHECK(decompress_gzip(bomb, 1 << 22, "rows.gz").size() == 1 << 22);
  CHECK(has(refusal(bomb, (1 << 22) - 1), "rows.gz: expected at most 4194303 bytes when decompressed, got more"));
}

TEST_CASE("a gzip file that is cut short, damaged or followed by something else is refused by name") {
  const std::string whole = gzip("a text that is compressed");
  for (std::size_t size = 2; size < whole.size(); ++size)
    CHECK(has(refusal(whole.substr(0, size)), "rows.gz: expected a whole gzip file, got one that is cut short"));
  for (const std::size_t at : {whole.size() - 1, whole.size() - 6, std::size_t{12}}) {  // size, sum, data
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    CHECK(has(refusal(damaged), "rows.gz: expected a gzip file, got a damaged one ("));
  }
  CHECK(has(refusal(whole + "{}"), "rows.gz: expected a gzip file alone, got 2 bytes more behind its end"));
  CHECK(has(refusal("no gzip"), "expected a gzip file, got a damaged one"));
}
