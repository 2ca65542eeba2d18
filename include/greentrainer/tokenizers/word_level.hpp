#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/tokenizers/component.hpp"
#include "greentrainer/tokenizers/token_model.hpp"

namespace greentrainer {

/// A piece of text is a token of the vocabulary, or unknown.
class WordLevel final : public TokenModel {
 public:
  WordLevel(Vocabulary vocabulary, std::string unk_token, std::string source)
      : vocabulary_(std::move(vocabulary)), unk_token_(std::move(unk_token)), source_(std::move(source)) {}

  void tokenize(std::string_view piece, std::vector<PieceToken>& tokens, TextBudget& budget) const override {
    budget.spend(piece.size(), part);
    auto id = vocabulary_.id(piece);
    if (!id) id = vocabulary_.id(unk_token_);
    if (!id) {
      throw DataError("tokenizer", source_,
                      text("expected the unknown token \"", unk_token_,
                           "\" in the vocabulary for a word that it does not have, got none"));
    }
    tokens.push_back({*id, {0, piece.size()}});
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
  std::string unk_token_;
  std::string source_;
};

/// Throws LoadError for fields of another form.
inline std::unique_ptr<WordLevel> make_word_level(const Component& component) {
  component.allow({"unk_token", "vocab"});
  return std::make_unique<WordLevel>(Vocabulary(component.at("vocab"), component.source() + ".vocab"),
                                     component.text_of("unk_token"), component.source());
}

}  // namespace greentrainer
