#pragma once

// reader: tokenizers/sentencepiece_model.hpp io/protobuf_reader.hpp

#include <string_view>

#include "fuzz/targets/tokenizer_json.hpp"

namespace greentrainer::fuzz {

/// A SentencePiece model, as T5's folders have it.
inline void spiece_model(std::string_view input) {
  static const InputFolder folder;
  folder.write("spiece.model", input);
  use(*load_tokenizer(folder.path()));
}

}  // namespace greentrainer::fuzz
