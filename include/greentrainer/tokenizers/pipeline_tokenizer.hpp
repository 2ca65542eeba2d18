#pragma once

#include <memory>
#include <string>
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
    std::unique_ptr<Decoder> decoder;  ///< null: tokens joined by spaces
    std::vector<AddedToken> added;     ///< of those with the same content, the first one's flags count
  };

  /// Throws LoadError naming `source` if an added token contradicts the vocabulary.
  PipelineTokenizer(Parts parts, TokenizerTraits traits, std::string_view source)
      : Tokenizer(std::move(traits)), parts_(std::move(parts)), extended_(parts_.model->vocabulary()) {
    std::unordered_set<Index> seen;
    for (const auto& token : parts_.added) {
      auto id = extended_.id(token.content);
      if (id && !token.id.is_null() && token.id != *id) {
        throw LoadError("load_tokenizer",
                        text(source, ", added token \"", token.content, "\": expected id ", *id,
                             " as in the vocabulary, got ", token.id.dump(-1, ' ', true).substr(0, 40)));
      }
      if (!id) {
        extended_.add(token.content, token.id.is_null() ? Json(static_cast<std::uint64_t>(extended_.size())) : token.id,
                      source);
        id = extended_.id(token.content);
      }
      if (token.special) special_.insert(*id);
      if (!seen.insert(*id).second) continue;
      (token.normalized ? after_normalizer_ : before_normalizer_)
          .add(searched_content(token, source), *id, token.lstrip, token.rstrip, source);
    }
  }

  std::string decode(std::span<const Index> ids, bool skip_special) const override {
    std::vector<std::string> tokens;
    for (Index id : ids) {
      const auto& token = extended_.token(id);
      if (!token.empty() && !(skip_special && special_.contains(id))) tokens.push_back(token);
    }
    if (parts_.decoder) parts_.decoder->decode(tokens);
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

 private:
  EncodedText encode_text(std::string_view input, bool traced) const override {
    if (const auto bad = find_invalid_utf8(input); bad != std::string_view::npos) {
      throw DataError("encode",
                      text("text of ", input.size(), " bytes: expected UTF-8, got something else at byte ", bad));
    }
    EncodedText result;
    bool at_start = true;
    for (const auto& outer : before_normalizer_.split(input)) {
      const auto offset = static_cast<std::size_t>(outer.text.data() - input.data());
      if (outer.id) {
        append({*outer.id, {offset, offset + outer.text.size()}}, traced, result);
      } else {
        TracedText stretch = traced ? TracedText::at(outer.text, offset) : TracedText(std::string(outer.text));
        if (parts_.normalizer) stretch = parts_.normalizer->normalize(std::move(stretch));
        encode_normalized(stretch, at_start, result);
      }
      at_start = false;
    }
    return result;
  }

  void encode_normalized(const TracedText& normalized, bool at_start, EncodedText& result) const {
    const std::string_view text = normalized.text();
    for (const auto& inner : after_normalizer_.split(text)) {
      const auto begin = static_cast<std::size_t>(inner.text.data() - text.data()), end = begin + inner.text.size();
      if (inner.id) {
        const bool traced = normalized.is_traced();
        append({*inner.id, traced ? normalized.origin(begin, end) : ByteRange{}}, traced, result);
      } else {
        encode_stretch({normalized.substr(begin, end), at_start}, result);
      }
      at_start = false;
    }
  }

  void encode_stretch(TextPiece stretch, EncodedText& result) const {
    std::vector<TextPiece> pieces(1, std::move(stretch));
    if (parts_.pre_tokenizer) parts_.pre_tokenizer->split(pieces);
    std::vector<PieceToken> tokens;
    for (const auto& [text, at_start] : pieces) {
      if (text.size() == 0) continue;
      tokens.clear();
      parts_.model->tokenize(text.text(), tokens);
      for (const auto& [id, bytes] : tokens)
        append({id, text.is_traced() ? text.origin(bytes.begin, bytes.end) : ByteRange{}}, text.is_traced(), result);
    }
  }

  static void append(PieceToken token, bool traced, EncodedText& result) {
    result.ids.push_back(token.id);
    if (traced) result.offsets.push_back(token.bytes);
  }

  /// An added token as it stands in the texts that are searched for it.
  std::string searched_content(const AddedToken& token, std::string_view source) const {
    if (!token.normalized || !parts_.normalizer) return token.content;
    try {
      return parts_.normalizer->normalize(TracedText(token.content)).text();
    } catch (const DataError& error) {  // here the text is the file's own
      const std::string_view what = error.what();
      throw LoadError("load_tokenizer",
                      text(source, ", added token \"", token.content, "\": ", what.substr(what.find("] ") + 2)));
    }
  }

  Parts parts_;
  Vocabulary extended_;  // the model's, and the added tokens
  AddedTokenFinder before_normalizer_;
  AddedTokenFinder after_normalizer_;
  std::unordered_set<Index> special_;
};

}  // namespace greentrainer
