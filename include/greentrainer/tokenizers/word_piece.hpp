#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/utf8.hpp"
#include "greentrainer/tokenizers/component.hpp"
#include "greentrainer/tokenizers/token_model.hpp"

namespace greentrainer {

/// BERT's model: from the front of a word the longest piece that the vocabulary has, then the longest that goes on from
/// there (with a prefix, `##`). A word that cannot be cut so, or is too long, is unknown as a whole.
class WordPiece final : public TokenModel {
 public:
  struct Options {
    std::string unk_token = "[UNK]";
    std::string prefix = "##";
    std::size_t longest_word = 100;  ///< characters
  };

  WordPiece(Vocabulary vocabulary, Options options, std::string source)
      : vocabulary_(std::move(vocabulary)), options_(std::move(options)), source_(std::move(source)) {}

  void tokenize(std::string_view piece, std::vector<PieceToken>& tokens, TextBudget& budget) const override {
    std::size_t characters = 0;
    for (const char c : piece) characters += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    const std::size_t before = tokens.size();
    if (characters <= options_.longest_word && cut(piece, tokens, budget)) return;
    tokens.resize(before);
    const auto unknown = vocabulary_.id(options_.unk_token);
    if (!unknown) {
      throw DataError("tokenizer", source_,
                      text("expected the unknown token \"", options_.unk_token,
                           "\" in the vocabulary for a word that has no pieces, got none"));
    }
    tokens.push_back({*unknown, {0, piece.size()}});
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  bool cut(std::string_view piece, std::vector<PieceToken>& tokens, TextBudget& budget) const {
    std::string candidate;
    for (std::size_t begin = 0; begin < piece.size();) {
      candidate = begin > 0 ? options_.prefix : "";
      const std::size_t prefix = candidate.size();
      candidate += piece.substr(begin);
      for (;;) {
        if (candidate.size() == prefix) return false;
        budget.spend(candidate.size() + 8, part);
        if (const auto id = vocabulary_.id(candidate)) {
          const std::size_t end = begin + candidate.size() - prefix;
          tokens.push_back({*id, {begin, end}});
          begin = end;
          break;
        }
        do {
          candidate.pop_back();
        } while (candidate.size() > prefix &&
                 (static_cast<unsigned char>(piece[begin + candidate.size() - prefix]) & 0xC0U) == 0x80U);
      }
    }
    return true;
  }

  Vocabulary vocabulary_;
  Options options_;
  std::string source_;
};

/// Throws LoadError for fields of another form.
inline std::unique_ptr<WordPiece> make_word_piece(const Component& component) {
  component.allow({"unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"});
  WordPiece::Options options;
  if (component.find("unk_token") != nullptr) options.unk_token = component.text_of("unk_token");
  if (component.find("continuing_subword_prefix") != nullptr)
    options.prefix = component.text_of("continuing_subword_prefix");
  if (component.find("max_input_chars_per_word") != nullptr)
    options.longest_word = component.count_of("max_input_chars_per_word");
  return std::make_unique<WordPiece>(Vocabulary(component.at("vocab"), component.source() + ".vocab"),
                                     std::move(options), component.source());
}

}  // namespace greentrainer
