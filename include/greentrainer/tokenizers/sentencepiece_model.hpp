#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/io/file.hpp"
#include "greentrainer/io/protobuf_reader.hpp"
#include "greentrainer/tokenizers/unigram.hpp"

namespace greentrainer {

/// A SentencePiece file of the Unigram kind (T5's spiece.model): protocol buffers, message ModelProto of
/// sentencepiece_model.proto.
struct SentencePieceModel {
  struct Added {
    std::string content;
    bool special = false;
  };
  std::vector<Unigram::Piece> pieces;  ///< by id
  std::vector<Added> added;  ///< control and user-defined pieces: recognised in the text itself, as transformers does
  Index unk_id = 0;
  bool byte_fallback = false;
  std::string charsmap;  ///< compiled normalisation rules (PrecompiledCharsmap); empty: none
};

namespace detail {

/// SentencePiece.Type.
enum class PieceKind : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

inline void read_piece(ProtobufReader message, SentencePieceModel& model, std::optional<Index>& unknown) {
  Unigram::Piece piece;
  auto kind = PieceKind::normal;
  while (message.next()) {
    if (message.number() == 1) piece.text = message.bytes("piece");
    if (message.number() == 2) piece.score = message.float32("score");
    if (message.number() == 3) kind = PieceKind{message.int32("type")};
  }
  if (piece.text.empty()) message.fail("expected a piece, got an empty text");
  if (find_invalid_utf8(piece.text) != std::string_view::npos)
    message.fail("expected a piece in UTF-8, got other bytes");
  if (kind < PieceKind::normal || kind > PieceKind::byte)
    message.fail(text("expected a type of piece from 1 to 6, got ", static_cast<std::int32_t>(kind)));
  if (kind == PieceKind::unknown) {
    if (unknown) message.fail(text("expected one unknown piece, got another; the first is ", *unknown));
    unknown = static_cast<Index>(model.pieces.size());
  }
  if (kind == PieceKind::control || kind == PieceKind::user_defined)
    model.added.push_back({piece.text, kind == PieceKind::control});
  model.pieces.push_back(std::move(piece));
}

/// The fields of TrainerSpec that matter when the model is used.
inline void read_trainer_spec(ProtobufReader message, SentencePieceModel& model) {
  constexpr std::int32_t unigram = 1;
  while (message.next()) {
    if (message.number() == 3 && message.int32("model_type") != unigram) {
      message.fail(
          text("model_type: expected 1 (Unigram), got ", message.int32("model_type"), ", which is not supported"));
    }
    if (message.number() == 24 && message.boolean("treat_whitespace_as_suffix"))
      message.fail("treat_whitespace_as_suffix: expected false, got true, which is not supported");
    if (message.number() == 35) model.byte_fallback = message.boolean("byte_fallback");
  }
}

inline void read_normalizer_spec(ProtobufReader message, SentencePieceModel& model) {
  const auto require = [&](std::string_view name) {
    if (!message.boolean(name)) message.fail(text(name, ": expected true, got false, which is not supported"));
  };
  while (message.next()) {
    if (message.number() == 2) model.charsmap = message.bytes("precompiled_charsmap");
    if (message.number() == 3) require("add_dummy_prefix");
    if (message.number() == 4) require("remove_extra_whitespaces");
    if (message.number() == 5) require("escape_whitespaces");
  }
}

}  // namespace detail

/// Throws LoadError naming the file and the place in it: damaged, of another kind than Unigram, without an unknown
/// piece.
inline SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path) {
  const std::string bytes = read_file(path, Bytes{32} << 20);
  ProtobufReader message(bytes, path.string());
  SentencePieceModel model;
  std::optional<Index> unknown;
  while (message.next()) {
    if (message.number() == 1)
      detail::read_piece(message.message(text("pieces[", model.pieces.size(), ']')), model, unknown);
    if (message.number() == 2) detail::read_trainer_spec(message.message("trainer_spec"), model);
    if (message.number() == 3) detail::read_normalizer_spec(message.message("normalizer_spec"), model);
  }
  if (!unknown)
    throw LoadError("load_tokenizer", path.string(),
                    text("expected a piece of type 2 (unknown) among ", model.pieces.size(),
                         ", got none; is this a SentencePiece file?"));
  model.unk_id = *unknown;
  return model;
}

}  // namespace greentrainer
