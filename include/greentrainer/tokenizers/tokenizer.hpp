#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/types.hpp"
#include "greentrainer/tokenizers/traced_text.hpp"

namespace greentrainer {

/// A chat template of a model folder.
struct ChatTemplateSource {
  std::string name;    ///< "default", or another of several
  std::string source;  ///< the file, for errors
  std::string jinja;
};

/// What a tokenizer's files say beside the splitting of text.
struct TokenizerTraits {
  std::optional<Index> bos_id;
  std::optional<Index> eos_id;
  std::optional<Index> pad_id;
  std::optional<Index> unk_id;
  bool adds_bos = false;  ///< docs/tokenizers.md has the rule
  bool adds_eos = false;
  std::vector<ChatTemplateSource> chat_templates;
  /// bos_token and the like with their tokens, as the files name them: what a chat template sees.
  std::vector<std::pair<std::string, std::string>> special_tokens;
};

/// The ids of a text, and where asked for the bytes of it that each stands for.
struct EncodedText {
  std::vector<Index> ids;
  std::vector<ByteRange> offsets;
};

/// Text to token ids and back. Usable from many threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// The ids of a text, without BOS or EOS. Special and added tokens that stand in the text are recognised, as in
  /// transformers. Throws DataError if the text is not UTF-8, naming the byte.
  std::vector<Index> encode(std::string_view text) const { return encode_text(text, false).ids; }

  /// The same with the bytes that each token stands for, as `offsets` of Hugging Face's `tokenizers` (there in
  /// characters, and before a post-processor trims them): the spaces that a token holds are its own; tokens that share
  /// a character have all of it.
  EncodedText encode_with_offsets(std::string_view text) const { return encode_text(text, true); }

  /// The text of ids; what does not make up UTF-8 becomes U+FFFD. Ids without a token say nothing (embeddings are often
  /// longer than vocabularies). Spaces are not tidied afterwards (transformers' clean_up_tokenization_spaces).
  virtual std::string decode(std::span<const Index> ids, bool skip_special = true) const = 0;

  /// One more than the highest id.
  virtual Extent vocab_size() const = 0;

  virtual std::optional<Index> id(std::string_view token) const = 0;

  /// Empty for an id without a token.
  virtual std::string token(Index id) const = 0;

  /// Whether it is a special token, which stands for nothing that was said: decode leaves it out.
  virtual bool is_special(Index id) const = 0;

  std::optional<Index> bos_id() const { return traits_.bos_id; }
  std::optional<Index> eos_id() const { return traits_.eos_id; }
  std::optional<Index> pad_id() const { return traits_.pad_id; }
  std::optional<Index> unk_id() const { return traits_.unk_id; }

  /// Whether sequences begin with BOS.
  bool adds_bos() const { return traits_.adds_bos && traits_.bos_id; }

  /// Whether sequences end with EOS, also those that nothing is to be generated from: T5's do.
  bool adds_eos() const { return traits_.adds_eos && traits_.eos_id; }

  /// The ids of a text that stands alone, BOS and EOS included where sequences have them. Throws as encode.
  std::vector<Index> encode_sequence(std::string_view text) const {
    auto ids = encode(text);
    if (adds_bos()) ids.insert(ids.begin(), *traits_.bos_id);
    if (adds_eos()) ids.push_back(*traits_.eos_id);
    return ids;
  }

  const std::vector<ChatTemplateSource>& chat_templates() const { return traits_.chat_templates; }
  const std::vector<std::pair<std::string, std::string>>& special_tokens() const { return traits_.special_tokens; }

 protected:
  explicit Tokenizer(TokenizerTraits traits) : traits_(std::move(traits)) {}

 private:
  /// `traced`: with offsets.
  virtual EncodedText encode_text(std::string_view text, bool traced) const = 0;

  TokenizerTraits traits_;
};

}  // namespace greentrainer
