#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "greentrainer/core/secret_hash.hpp"
#include "greentrainer/core/utf8.hpp"
#include "greentrainer/tokenizers/byte_fallback.hpp"
#include "greentrainer/tokenizers/component.hpp"
#include "greentrainer/tokenizers/merges.hpp"
#include "greentrainer/tokenizers/piece_cache.hpp"
#include "greentrainer/tokenizers/token_model.hpp"
#include "greentrainer/tokenizers/vocabulary.hpp"

namespace greentrainer {

/// Byte-pair encoding: a piece begins as single characters, and neighbours merge, the pair that was learnt first before
/// all others, until none is left to merge. Ids equal those of Hugging Face's `tokenizers`. O(n log n) in the length of
/// a piece.
class Bpe final : public TokenModel {
 public:
  struct Options {
    std::optional<std::string> unk_token;  ///< for characters outside the vocabulary; without one they vanish
    bool fuse_unk = false;                 ///< one unknown token for a run of such characters
    bool byte_fallback = false;            ///< spell such characters by <0x..> tokens
    bool ignore_merges = false;            ///< a piece that is a token needs no merging
    /// Without a list of merges, as tiktoken has it: of all neighbours that make up a token of this id or a higher one,
    /// those with the lowest id merge first.
    std::optional<Index> first_ranked_id = std::nullopt;
  };
  using Merges = greentrainer::Merges;

  /// Merges are in the order they were learnt. Throws LoadError naming `source`: a merge whose parts or whole are not
  /// in the vocabulary, an unknown token that is not.
  Bpe(Vocabulary vocabulary, const Merges& merges, const Options& options, std::string_view source)
      : vocabulary_(std::move(vocabulary)), options_(options) {
    const auto id_of = [&](const std::string& token, std::size_t rank) {
      if (const auto id = vocabulary_.id(token)) return *id;
      throw LoadError("load_tokenizer", text(source, ", merge ", rank + 1),
                      text("expected parts and whole in the vocabulary, got \"", token, "\", which is not"));
    };
    for (Index id = 0; id < static_cast<Index>(vocabulary_.size()); ++id)
      longest_token_ = std::max(longest_token_, vocabulary_.token(id).size());
    merges_.reserve(merges.size());
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
      const auto& [left, right] = merges[rank];
      merges_[key_of(id_of(left, rank), id_of(right, rank))] = {static_cast<std::uint32_t>(rank),
                                                                id_of(left + right, rank)};
    }
    if (options_.unk_token) {
      unk_ = vocabulary_.id(*options_.unk_token);
      if (!unk_)
        throw LoadError("load_tokenizer", source,
                        text("expected unk_token in the vocabulary, got \"", *options_.unk_token, "\", which is not"));
    }
    if (options_.byte_fallback) byte_fallback_ = ByteFallback(vocabulary_);
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }

  void tokenize(std::string_view piece, std::vector<PieceToken>& tokens, TextBudget& budget) const override {
    if (options_.ignore_merges) {
      if (const auto id = token_of(piece)) {
        tokens.push_back({*id, {0, piece.size()}});
        return;
      }
    }
    cache_.append(piece, tokens, [&](std::string_view word, std::vector<PieceToken>& of_word) {
      const std::uint64_t steps = steps_per_byte + (options_.first_ranked_id ? 4 * longest_token_ : 0);
      budget.spend(word.size() * steps, part);
      merge(word, of_word);
    });
  }

 private:
  static constexpr std::uint64_t steps_per_byte = 256;  // of merging, which is near to linear

  struct Merge {
    std::uint32_t rank = 0;
    Index id = 0;
  };
  struct Symbol {
    Index id = 0;
    std::ptrdiff_t previous = -1;
    std::ptrdiff_t next = -1;
    bool alive = true;
    ByteRange bytes;
  };
  struct Candidate {
    std::uint32_t rank = 0;
    std::ptrdiff_t left = 0;
    Index id = 0;
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }  // the heap's top is its largest
  };
  static std::uint64_t key_of(Index left, Index right) {
    return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint32_t>(right);
  }

  /// The token that a whole piece is, or two neighbours together are.
  std::optional<Index> token_of(std::string_view piece) const {
    if (piece.size() > longest_token_) return std::nullopt;
    const auto id = vocabulary_.id(piece);
    return id && *id >= options_.first_ranked_id.value_or(0) ? id : std::nullopt;
  }

  std::optional<Merge> merge_of(const Symbol& left, const Symbol& right, std::string_view piece) const {
    if (options_.first_ranked_id) {
      const auto id = token_of(piece.substr(left.bytes.begin, right.bytes.end - left.bytes.begin));
      return id ? std::optional(Merge{static_cast<std::uint32_t>(*id), *id}) : std::nullopt;
    }
    const auto found = merges_.find(key_of(left.id, right.id));
    return found != merges_.end() ? std::optional(found->second) : std::nullopt;
  }

  /// A piece as single characters, unknown ones replaced.
  std::vector<PieceToken> characters_of(std::string_view piece) const {
    std::vector<PieceToken> tokens;
    tokens.reserve(piece.size());
    bool after_unk = false;
    for (std::size_t i = 0; i < piece.size();) {
      const auto character = piece.substr(i, utf8_char_at(piece, i).length);
      const ByteRange range{i, i + character.size()};
      i = range.end;
      if (const auto id = vocabulary_.id(character)) {
        tokens.push_back({*id, range});
        after_unk = false;
      } else if (byte_fallback_.append(character, tokens, [&](std::size_t byte) -> ByteRange {
                   return {range.begin + byte, range.begin + byte + 1};
                 })) {
        after_unk = false;
      } else if (unk_) {
        if (after_unk && options_.fuse_unk)
          tokens.back().bytes.end = range.end;
        else
          tokens.push_back({*unk_, range});
        after_unk = true;
      }
    }
    return tokens;
  }

  void merge(std::string_view piece, std::vector<PieceToken>& tokens) const {
    const auto characters = characters_of(piece);
    std::vector<Symbol> symbols(characters.size());
    std::priority_queue<Candidate> heap;
    const auto consider = [&](std::ptrdiff_t left) {
      if (left < 0 || symbols[static_cast<std::size_t>(left)].next < 0) return;
      const auto& symbol = symbols[static_cast<std::size_t>(left)];
      const auto found = merge_of(symbol, symbols[static_cast<std::size_t>(symbol.next)], piece);
      if (found) heap.push({found->rank, left, found->id});
    };
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      const auto at = static_cast<std::ptrdiff_t>(i);
      symbols[i] = {characters[i].id, at - 1, i + 1 < symbols.size() ? at + 1 : -1, true, characters[i].bytes};
    }
    for (std::size_t i = 0; i < symbols.size(); ++i) consider(static_cast<std::ptrdiff_t>(i));
    while (!heap.empty()) {
      const auto top = heap.top();
      heap.pop();
      auto& left = symbols[static_cast<std::size_t>(top.left)];
      if (!left.alive || left.next < 0) continue;
      auto& right = symbols[static_cast<std::size_t>(left.next)];
      // The pair may have changed since it was put on the heap.
      const auto found = merge_of(left, right, piece);
      if (!found || found->id != top.id) continue;
      left.id = top.id;
      left.bytes.end = right.bytes.end;
      left.next = right.next;
      right.alive = false;
      if (right.next >= 0) symbols[static_cast<std::size_t>(right.next)].previous = top.left;
      consider(left.previous);
      consider(top.left);
    }
    for (const Symbol& symbol : symbols) {
      if (symbol.alive) tokens.push_back({symbol.id, symbol.bytes});
    }
  }

  Vocabulary vocabulary_;
  Options options_;
  std::unordered_map<std::uint64_t, Merge, SecretHash> merges_;
  std::size_t longest_token_ = 0;  // bytes
  std::optional<Index> unk_;
  ByteFallback byte_fallback_;
  PieceCache cache_;
};

/// The model of a tokenizer.json whose type is BPE. `instead`: options in place of the file's. Throws LoadError for
/// fields that are not supported.
inline std::unique_ptr<Bpe> make_bpe(const Component& component, const std::optional<Bpe::Options>& instead = {}) {
  component.allow({"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                   "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (const Json* dropout = component.find("dropout"); !instead && dropout != nullptr && *dropout != 0.0) {
    component.fail("expected no dropout, got some: ids would be random");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!instead && component.find(key) != nullptr && !component.text_of(key).empty())
      component.fail(text("expected no ", key, ", got \"", component.text_of(key), "\", which is not supported"));
  }
  Bpe::Options options;
  if (component.find("unk_token") != nullptr) options.unk_token = component.text_of("unk_token");
  options.fuse_unk = component.flag_or("fuse_unk", false);
  options.byte_fallback = component.flag_or("byte_fallback", false);
  options.ignore_merges = component.flag_or("ignore_merges", false);
  if (instead) options = *instead;

  Bpe::Merges merges;
  const Json& list = component.at("merges");
  if (!list.is_array()) component.fail(text("expected a list of merges, got ", list.type_name()));
  merges.reserve(list.size());
  for (const Json& merge : list) {  // "a b" in older files, ["a", "b"] in newer ones, where tokens may hold spaces
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      continue;
    }
    const auto line = merge.is_string() ? merge.get<std::string>() : std::string();
    const auto space = line.find(' ');
    if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
      component.fail(
          text("merge ", merges.size() + 1, ": expected two tokens, got ", merge.dump(-1, ' ', true).substr(0, 80)));
    }
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return std::make_unique<Bpe>(Vocabulary(component.at("vocab"), component.source() + ".vocab"), merges, options,
                               component.source());
}

}  // namespace greentrainer
