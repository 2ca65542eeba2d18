#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "support/paths.hpp"

namespace greentrainer::testing {

/// Checks the tokenizer of a model's files against the golden ids, and what they decode to, of
/// tests/golden/tokenizers/<name>.jsonl, and the bytes that they stand for of tests/golden/offsets/<name>.jsonl.
inline void compare_with_golden_lines(const ModelFiles& files, const std::string& name) {
  const auto tokenizer = load_tokenizer(files);
  std::ifstream file(testing::source_folder() / "tests/golden/tokenizers" / (name + ".jsonl"));
  std::ifstream offset_file(testing::source_folder() / "tests/golden/offsets" / (name + ".jsonl"));
  std::size_t lines = 0;
  for (std::string line, offset_line; std::getline(file, line); ++lines) {
    const Json golden = parse_json(line, name);
    const auto input = golden.at("text").get<std::string>();
    CAPTURE(input);
    const auto ids = golden.at("ids").get<std::vector<Index>>();
    CHECK(tokenizer->encode(input) == ids);
    CHECK(tokenizer->decode(ids, false) == golden.value("decoded", input));
    REQUIRE(std::getline(offset_file, offset_line));
    const EncodedText encoded = tokenizer->encode_with_offsets(input);
    CHECK(encoded.ids == ids);
    std::vector<std::size_t> offsets;
    for (const ByteRange& range : encoded.offsets) offsets.insert(offsets.end(), {range.begin, range.end});
    CHECK(offsets == parse_json(offset_line, name).get<std::vector<std::size_t>>());
  }
  CHECK(lines >= 200);
}

}  // namespace greentrainer::testing
