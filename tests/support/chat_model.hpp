#pragma once

#include <filesystem>
#include <string>

#include "greentrainer/io/json.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

namespace greentrainer::testing {

/// Copies the embedded model's folder with ChatML's two markers in place of two byte tokens that no UTF-8 has:
/// <|im_start|> is 257, <|im_end|> 258.
inline std::filesystem::path write_chat_model(const TemporaryFolder& folder) {
  const std::filesystem::path model = folder / "chat-model";
  std::filesystem::copy(source_folder() / "examples/data/stories260k", model);
  OrderedJson tokenizer = read_json_file<OrderedJson>(model / "tokenizer.json");
  for (const auto& [old_token, token] : {std::pair{"<0xFE>", "<|im_start|>"}, std::pair{"<0xFF>", "<|im_end|>"}}) {
    OrderedJson& vocabulary = tokenizer["model"]["vocab"];
    const OrderedJson id = vocabulary.at(old_token);
    vocabulary.erase(old_token);
    vocabulary[token] = id;
    tokenizer["added_tokens"].push_back({{"id", id}, {"content", token}, {"special", true}, {"normalized", false}});
  }
  folder.write("chat-model/tokenizer.json", tokenizer.dump());
  return model;
}

}  // namespace greentrainer::testing
