#pragma once

// reader: data/load_jsonl_inl.hpp data/json_rows.hpp data/encoded_row.hpp data/row_keys.hpp

#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"

namespace greentrainer::fuzz {

/// Training data, JSON lines.
inline void jsonl_rows(std::string_view input) {
  static const InputFolder folder;
  static const auto tokenizer = load_tokenizer(testing::source_folder() / "examples/data/stories260k");
  load_jsonl(folder.write("rows.jsonl", input), tokenizer.get(), {.max_tokens = 64});
}

}  // namespace greentrainer::fuzz
