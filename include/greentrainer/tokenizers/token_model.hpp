#pragma once

#include <string_view>
#include <vector>

#include "greentrainer/core/types.hpp"
#include "greentrainer/tokenizers/text_budget.hpp"
#include "greentrainer/tokenizers/traced_text.hpp"
#include "greentrainer/tokenizers/vocabulary.hpp"

namespace greentrainer {

/// A token of a piece of text, and the bytes of the piece that it stands for.
struct PieceToken {
  Index id = 0;
  ByteRange bytes;
};

/// Turns one piece of text into ids: the "model" of tokenizer.json. A new kind (Unigram, WordPiece) is one more of
/// these, and a line in make_token_model (load_tokenizer_inl.hpp). Usable from many threads.
class TokenModel {
 public:
  virtual ~TokenModel() = default;

  /// Appends the tokens of a piece, which is UTF-8 and not empty. Throws DataError for more steps than the budget has.
  virtual void tokenize(std::string_view piece, std::vector<PieceToken>& tokens, TextBudget& budget) const = 0;

  virtual const Vocabulary& vocabulary() const = 0;

 protected:
  static constexpr std::string_view part = "model";  // of the tokenizer's file, for errors
};

}  // namespace greentrainer
