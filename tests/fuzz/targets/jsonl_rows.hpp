#pragma once

// reader: data/load_jsonl_inl.hpp data/encoded_row.hpp data/row_keys.hpp

#include <filesystem>
#include <memory>
#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"

namespace greentrainer::fuzz {

/// A tokenizer with a chat template.
inline std::shared_ptr<const Tokenizer> chat_tokenizer() {
  const InputFolder folder;
  const auto stories = testing::source_folder() / "examples/data/stories260k";
  std::filesystem::copy_file(stories / "tokenizer.json", folder.path() / "tokenizer.json");
  std::filesystem::copy_file(stories / "tokenizer_config.json", folder.path() / "tokenizer_config.json");
  folder.write("chat_template.jinja",
               "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}{{ m.reasoning_content }}</s>{% endfor %}"
               "{% if add_generation_prompt %}<s>assistant: {% endif %}");
  return load_tokenizer(folder.path());
}

/// Training data, JSON lines, for a model that decodes alone and for one with an encoder.
inline void jsonl_rows(std::string_view input) {
  static const InputFolder folder;
  static const auto tokenizer = chat_tokenizer();
  const auto rows = folder.write("rows.jsonl", input);
  DataOptions options{.max_tokens = 64};
  options.target.emplace();
  accepts([&](std::string_view) { load_jsonl(rows, tokenizer.get(), options); }, input);
  load_jsonl(rows, tokenizer.get(), {.max_tokens = 64});
}

}  // namespace greentrainer::fuzz
