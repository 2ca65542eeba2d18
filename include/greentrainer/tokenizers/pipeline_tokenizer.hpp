#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "greentrainer/tokenizers/added_tokens.hpp"
#include "greentrainer/tokenizers/decoder.hpp"
#include "greentrainer/tokenizers/normalizer.hpp"
#include "greentrainer/tokenizers/pre_tokenizer.hpp"
#include "greentrainer/tokenizers/token_model.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// The steps of Hugging Face's `tokenizers`: added tokens, normalizer, pre-tokenizer, model; and a decoder for the way
/// back.
class PipelineTokenizer final : public Tokenizer {
 public:
  struct Parts {
    std::unique_ptr<Normalizer> normalizer;       ///< may be null
    std::unique_ptr<PreTokenizer> pre_tokenizer;  ///< may be null
    std::unique_ptr<TokenModel> model;
    std::unique_ptr<Decoder> decoder;    ///< null: tokens joined by spaces
    std::vector<AddedToken> added;       ///< of those with the same content, the last one's flags count
    bool splits_special_tokens = false;  ///< those that stand in a text are not recognised
  };

  /// Throws LoadError naming `source` if an added token contradicts the vocabulary.
  PipelineTokenizer(Parts parts, TokenizerTraits traits, std::string_view source)
      : Tokenizer(std::move(traits)), source_(source), parts_(std::move(parts)), extended_(parts_.model->vocabulary()) {
    std::size_t bytes = 0;
    std::unordered_map<Index, const AddedToken*> last;
    std::vector<Index> order;
    for (const auto& token : parts_.added) {
      const Index id = add_to_vocabulary(token);
      if (token.special) special_.insert(id);
      if (last.insert_or_assign(id, &token).second) order.push_back(id);
      bytes += token.content.size();
    }
    TextBudget budget(bytes, "added_tokens");
    for (const Index id : order) {
      const AddedToken& token = *last[id];
      if (parts_.splits_special_tokens && special_.contains(id)) continue;
      (token.normalized ? after_normalizer_ : before_normalizer_)
          .add(searched_content(token, budget), id, token.lstrip, token.rstrip, source);
    }
  }

  std::string decode(std::span<const Index> ids, bool skip_special) const override {
    std::vector<std::string> tokens;
    std::size_t bytes = 0;
    for (Index id : ids) {
      const auto& token = extended_.token(id);
      if (token.empty() || (skip_special && special_.contains(id))) continue;
      if ((bytes += token.size()) > ids.size() * most_bytes_per_id + most_bytes) {
        throw DataError("decode", source_,
                        text("expected at most ", most_bytes_per_id, " bytes for each of ", ids.size(),
                             " ids and 1 MiB, got more; is the vocabulary as it was published?"));
      }
      tokens.push_back(token);
    }
    TextBudget budget(bytes, source_);
    if (parts_.decoder) parts_.decoder->decode(tokens, budget);
    std::string result;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0 && !parts_.decoder) result += ' ';
      result += tokens[i];
    }
    return result;
  }

  Extent vocab_size() const override { return extended_.size(); }
  std::optional<Index> id(std::string_view token) const override { return extended_.id(token); }
  std::string token(Index id) const override { return extended_.token(id); }
  bool is_special(Index id) const override { return special_.contains(id); }

 private:
  EncodedText encode_text(std::string_view input, bool traced) const override {
    if (const auto bad = find_invalid_utf8(input); bad != std::string_view::npos) {
      throw DataError("encode", text("text of ", input.size(), " bytes"),
                      text("expected UTF-8, got something else at byte ", bad));
    }
    EncodedText result;
    TextBudget budget(input.size(), source_);
    bool at_start = true;
    for (const auto& outer : before_normalizer_.split(input, budget)) {
      const auto offset = static_cast<std::size_t>(outer.text.data() - input.data());
      if (outer.id) {
        append({*outer.id, {offset, offset + outer.text.size()}}, traced, result);
      } else {
        TracedText stretch = traced ? TracedText::at(outer.text, offset) : TracedText(std::string(outer.text));
        if (parts_.normalizer) stretch = parts_.normalizer->normalize(std::move(stretch), budget);
        encode_normalized(stretch, at_start, result, budget);
      }
      at_start = false;
    }
    return result;
  }

  void encode_normalized(const TracedText& normalized, bool at_start, EncodedText& result, TextBudget& budget) const {
    const std::string_view text = normalized.text();
    for (const auto& inner : after_normalizer_.split(text, budget)) {
      const auto begin = static_cast<std::size_t>(inner.text.data() - text.data()), end = begin + inner.text.size();
      if (inner.id) {
        const bool traced = normalized.is_traced();
        append({*inner.id, traced ? normalized.origin(begin, end) : ByteRange{}}, traced, result);
      } else {
        encode_stretch({normalized.substr(begin, end), at_start}, result, budget);
      }
      at_start = false;
    }
  }

  void encode_stretch(TextPiece stretch, EncodedText& result, TextBudget& budget) const {
    std::vector<TextPiece> pieces(1, std::move(stretch));
    if (parts_.pre_tokenizer) parts_.pre_tokenizer->split(pieces, budget);
    std::vector<PieceToken> tokens;
    for (const auto& [text, at_start] : pieces) {
      if (text.size() == 0) continue;
      tokens.clear();
      parts_.model->tokenize(text.text(), tokens, budget);
      budget.require_size(result.ids.size() + tokens.size(), "model");
      for (const auto& [id, bytes] : tokens)
        append({id, text.is_traced() ? text.origin(bytes.begin, bytes.end) : ByteRange{}}, text.is_traced(), result);
    }
  }

  static void append(PieceToken token, bool traced, EncodedText& result) {
    result.ids.push_back(token.id);
    if (traced) result.offsets.push_back(token.bytes);
  }

  /// The id of an added token, which is new or the one that it has.
  Index add_to_vocabulary(const AddedToken& token) {
    const auto id = extended_.id(token.content);
    if (id && !token.id.is_null() && token.id != *id) {
      throw LoadError(
          "load_tokenizer", text(source_, ", added token \"", token.content, '"'),
          text("expected id ", *id, " as in the vocabulary, got ", token.id.dump(-1, ' ', true).substr(0, 40)));
    }
    if (id) return *id;
    extended_.add(token.content, token.id.is_null() ? Json(static_cast<std::uint64_t>(extended_.size())) : token.id,
                  source_);
    return *extended_.id(token.content);
  }

  // A token of 64 KB in a vocabulary must not make gigabytes of a few thousand ids.
  static constexpr std::size_t most_bytes_per_id = 1024;
  static constexpr std::size_t most_bytes = std::size_t{1} << 20;

  /// An added token as it stands in the texts that are searched for it. `budget`: one for all tokens.
  std::string searched_content(const AddedToken& token, TextBudget& budget) const {
    if (!token.normalized || !parts_.normalizer) return token.content;
    try {
      return parts_.normalizer->normalize(TracedText(token.content), budget).text();
    } catch (const DataError& error) {  // here the text is the file's own
      throw LoadError("load_tokenizer", text(source_, ", added token \"", token.content, '"'), error.message());
    }
  }

  std::string source_;
  Parts parts_;
  Vocabulary extended_;  // the model's, and the added tokens
  AddedTokenFinder before_normalizer_;
  AddedTokenFinder after_normalizer_;
  std::unordered_set<Index> special_;
};

}  // namespace greentrainer
