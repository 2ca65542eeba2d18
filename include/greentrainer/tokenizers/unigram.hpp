#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/utf8.hpp"
#include "greentrainer/tokenizers/byte_fallback.hpp"
#include "greentrainer/tokenizers/component.hpp"
#include "greentrainer/tokenizers/piece_cache.hpp"
#include "greentrainer/tokenizers/piece_trie.hpp"
#include "greentrainer/tokenizers/token_model.hpp"

namespace greentrainer {

/// SentencePiece's Unigram: of all ways to cut a text into pieces, the one whose pieces have the highest sum of scores
/// (log-probabilities). Ids equal those of Hugging Face's `tokenizers`. O(n) in the length of a text, times the length
/// of the longest piece.
class Unigram final : public TokenModel {
 public:
  struct Piece {
    std::string text;
    double score = 0;
  };
  struct Options {
    std::optional<Index>
        unk_id;  ///< for characters outside the vocabulary; a run of them is one. Without it they are a DataError
    bool byte_fallback = false;  ///< spell such runs by <0x..> tokens
  };

  /// The id of a piece is its place. Throws LoadError naming `source` and the piece: empty, too long, there twice, a
  /// score that is not finite; an unknown token outside the vocabulary.
  Unigram(const std::vector<Piece>& pieces, const Options& options, std::string_view source)
      : vocabulary_(vocabulary_of(pieces, source)), trie_(trie_of(pieces)), options_(options) {
    scores_.reserve(pieces.size());
    for (const Piece& piece : pieces) scores_.push_back(piece.score);
    // An unknown character costs more than any piece: the lowest score, less SentencePiece's penalty.
    unknown_score_ = (scores_.empty() ? 0.0 : *std::min_element(scores_.begin(), scores_.end())) - 10.0;
    if (options_.unk_id && (*options_.unk_id < 0 || *options_.unk_id >= vocabulary_.size())) {
      throw LoadError("load_tokenizer", text(source, ", unk_id"),
                      text("expected an id below ", vocabulary_.size(), ", got ", *options_.unk_id));
    }
    if (options_.byte_fallback) byte_fallback_ = ByteFallback(vocabulary_);
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }

  void tokenize(std::string_view piece, std::vector<PieceToken>& tokens, TextBudget& budget) const override {
    cache_.append(piece, tokens,
                  [&](std::string_view word, std::vector<PieceToken>& of_word) { append_best(word, of_word, budget); });
  }

 private:
  // Every position of a text is compared with the longest piece; real vocabularies have a quarter of a million pieces
  // in 5 MB.
  static constexpr std::size_t longest_piece = 1024;
  static constexpr std::size_t most_bytes = std::size_t{16} << 20;
  static constexpr std::uint64_t steps_per_byte_compared = 16;

  static constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();

  /// The best way to cut the text that ends at some place.
  struct BestCut {
    double score = 0;
    std::size_t begin = nowhere;  // of its last piece
    Index id = 0;                 // of its last piece
  };

  static Vocabulary vocabulary_of(const std::vector<Piece>& pieces, std::string_view source) {
    Vocabulary vocabulary;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const auto& [content, score] = pieces[i];
      const auto fail = [&](const auto&... what) {
        throw LoadError("load_tokenizer", text(source, ", piece ", i), text(what...));
      };
      if (content.empty() || content.size() > longest_piece)
        fail("expected 1 to ", longest_piece, " bytes, got ", content.size());
      if (!std::isfinite(score)) fail("\"", content, "\": expected a finite score, got ", score);
      if ((bytes += content.size()) > most_bytes)
        fail("expected at most ", most_bytes, " bytes in all pieces, got more");
      vocabulary.add(content, static_cast<std::uint64_t>(i), source);
    }
    return vocabulary;
  }

  static PieceTrie trie_of(const std::vector<Piece>& pieces) {
    PieceTrie::Pieces with_ids;
    with_ids.reserve(pieces.size());
    for (std::size_t i = 0; i < pieces.size(); ++i) with_ids.emplace_back(pieces[i].text, static_cast<Index>(i));
    return PieceTrie(std::move(with_ids));
  }

  /// Viterbi's search: the best cut that ends at each place, from left to right.
  std::vector<BestCut> best_cuts(std::string_view input, TextBudget& budget) const {
    std::vector<BestCut> best(input.size() + 1);
    for (std::size_t begin = 0; begin < input.size();) {
      const double so_far = best[begin].score;
      const auto offer = [&](std::size_t length, double score, Index id) {
        BestCut& cut = best[begin + length];
        if (cut.begin == nowhere || so_far + score > cut.score) cut = {so_far + score, begin, id};
      };
      const std::size_t character = utf8_char_at(input, begin).length;
      bool known = false;
      const std::size_t compared = trie_.for_each_prefix(input.substr(begin), [&](std::size_t length, Index id) {
        offer(length, scores_[static_cast<std::size_t>(id)], id);
        known = known || length == character;
      });
      budget.spend((1 + compared) * steps_per_byte_compared, part);
      if (!known) {
        if (!options_.unk_id) {
          throw DataError("encode", text("\"", input.substr(begin, character), "\""),
                          "expected a character of the vocabulary, since it has no unknown token, got another");
        }
        offer(character, unknown_score_, *options_.unk_id);
      }
      begin += character;
    }
    return best;
  }

  void append_best(std::string_view input, std::vector<PieceToken>& tokens, TextBudget& budget) const {
    const auto best = best_cuts(input, budget);
    std::vector<std::size_t> ends;  // of the pieces, the last first
    for (std::size_t end = input.size(); end > 0; end = best[end].begin) ends.push_back(end);
    for (std::size_t i = ends.size(); i-- > 0;) {
      const BestCut& cut = best[ends[i]];
      if (cut.id != options_.unk_id) {
        tokens.push_back({cut.id, {cut.begin, ends[i]}});
        continue;
      }
      while (i > 0 && best[ends[i - 1]].id == options_.unk_id) --i;
      append_unknown(input, {cut.begin, ends[i]}, tokens);
    }
  }

  /// A run of unknown characters. Each of its bytes' tokens stands for all of it, as in Hugging Face's `tokenizers`.
  void append_unknown(std::string_view input, ByteRange range, std::vector<PieceToken>& tokens) const {
    const std::string_view run = input.substr(range.begin, range.end - range.begin);
    if (const auto id = vocabulary_.id(run)) {  // only where scores are positive can it be a piece
      tokens.push_back({*id, range});
      return;
    }
    if (!byte_fallback_.append(run, tokens, [&](std::size_t) { return range; }))
      tokens.push_back({*options_.unk_id, range});
  }

  Vocabulary vocabulary_;
  PieceTrie trie_;
  std::vector<double> scores_;  // by id
  double unknown_score_ = 0;
  Options options_;
  ByteFallback byte_fallback_;
  PieceCache cache_;
};

/// The model of a tokenizer.json whose type is Unigram. `instead`: options in place of the file's. Throws LoadError for
/// fields that are not supported.
inline std::unique_ptr<Unigram> make_unigram(const Component& component,
                                             const std::optional<Unigram::Options>& instead = {}) {
  component.allow({"unk_id", "vocab", "byte_fallback"});
  const Json& list = component.at("vocab");
  if (!list.is_array()) component.fail(text("expected a list of [piece, score] as \"vocab\", got ", list.type_name()));
  std::vector<Unigram::Piece> pieces;
  pieces.reserve(list.size());
  for (const Json& piece : list) {
    if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() || !piece[1].is_number()) {
      component.fail(
          text("vocab[", pieces.size(), "]: expected [piece, score], got ", piece.dump(-1, ' ', true).substr(0, 80)));
    }
    pieces.push_back({piece[0].get<std::string>(), piece[1].get<double>()});
  }
  Unigram::Options options;
  options.byte_fallback = component.flag_or("byte_fallback", false);
  if (component.find("unk_id") != nullptr) {
    const std::size_t id = component.count_of("unk_id");
    if (id >= pieces.size()) component.fail(text("expected an unk_id below ", pieces.size(), ", got ", id));
    options.unk_id = static_cast<Index>(id);
  }
  if (instead) options = *instead;
  return std::make_unique<Unigram>(pieces, options, component.source() + ".vocab");
}

}  // namespace greentrainer
