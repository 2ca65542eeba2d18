#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/tokenizers/regex.hpp"

// Tokenizer files written byte by byte.

namespace greentrainer::testing {

// --- Protocol buffers ---

inline std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(static_cast<unsigned char>(value | 0x80U)));
  bytes.push_back(static_cast<char>(static_cast<unsigned char>(value)));
  return bytes;
}

inline std::string little_endian(std::uint32_t value) {
  std::string bytes;
  for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(static_cast<unsigned char>(value >> (8 * i))));
  return bytes;
}

inline std::string key(std::uint64_t number, unsigned wire_type) { return varint(number << 3 | wire_type); }
inline std::string integer_field(std::uint64_t number, std::uint64_t value) { return key(number, 0) + varint(value); }
inline std::string bytes_field(std::uint64_t number, std::string_view value) {
  return key(number, 2) + varint(value.size()) + std::string(value);
}
inline std::string float_field(std::uint64_t number, float value) {
  return key(number, 5) + little_endian(std::bit_cast<std::uint32_t>(value));
}

// --- SentencePiece: ModelProto and its parts ---

/// Types: 1 normal, 2 unknown, 3 control.
inline std::string piece_field(std::string_view piece, float score, std::uint64_t type = 1) {
  return bytes_field(1, bytes_field(1, piece) + float_field(2, score) + integer_field(3, type));
}
inline std::string trainer_spec(std::string_view fields) { return bytes_field(2, fields); }
inline std::string normalizer_spec(std::string_view fields) { return bytes_field(3, fields); }

/// Specials as T5 has them, SentencePiece's space, "a", "b" and "ab".
inline std::string small_pieces() {
  return piece_field("<pad>", 0, 3) + piece_field("</s>", 0, 3) + piece_field("<unk>", 0, 2) +
         piece_field("\xE2\x96\x81", -1) + piece_field("a", -2) + piece_field("b", -3) + piece_field("ab", -4);
}

// --- Normalisation rules: a double-array trie and its replacements ---

/// The unit of a state: the byte that leads to it, whether a key ends there, and the distance to the block of its
/// children.
inline std::uint32_t trie_unit(std::uint32_t label, bool ends_key, std::uint32_t offset) {
  return label | (ends_key ? 0x100U : 0U) | offset << 10;
}

inline std::string charsmap(const std::vector<std::uint32_t>& units, std::string_view replacements) {
  std::string bytes = little_endian(static_cast<std::uint32_t>(4 * units.size()));
  for (const std::uint32_t unit : units) bytes += little_endian(unit);
  return bytes + std::string(replacements);
}

/// The trie of one key, "A"; its replacement begins at `value`. The root's block is at 256, that of "A" at 448.
inline std::vector<std::uint32_t> one_key_trie(std::uint32_t value) {
  std::vector<std::uint32_t> units(512);
  units[0] = trie_unit(0, false, 256);
  units[256 ^ 'A'] = trie_unit('A', true, (256 ^ 'A') ^ 448);
  units[448] = 0x80000000U | value;
  return units;
}

/// "A" becomes "a".
inline std::string small_charsmap() { return charsmap(one_key_trie(0), std::string_view("a\0", 2)); }

inline std::string small_spiece_model() {
  return small_pieces() + trainer_spec(integer_field(3, 1) + integer_field(40, 2)) +
         normalizer_spec(bytes_field(1, "nmt_nfkc") + bytes_field(2, small_charsmap()) + integer_field(3, 1));
}

inline std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j) result += i + j <= bytes.size() ? digits[bits >> (18 - 6 * j) & 63U] : '=';
  }
  return result;
}

// --- tokenizer.json ---

inline std::string small_bpe_json() {
  return R"({"added_tokens": [{"id": 4, "content": "<s>", "special": true}], "normalizer": null,
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": " ?[^(\\s|[.,])]+"}, "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}}},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "unk_token": null, "fuse_unk": false, "vocab": {"a": 0, "b": 1, "ab": 2, "aba": 3},
    "merges": ["a b", "ab a"]}})";
}

inline std::string small_unigram_json() {
  return R"({"added_tokens": [{"id": 0, "content": "<unk>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": ")" +
         base64(small_charsmap()) + R"("}, {"type": "Strip", "strip_left": false, "strip_right": true}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"}]},
    "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}},
      {"SpecialToken": {"id": "</s>"}}],
                       "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
    "decoder": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"},
    "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": false,
      "vocab": [["<unk>", 0.0], ["</s>", 0.0], ["_", -1.5], ["a", -2], ["b", -3.25], ["ab", -4e0]]}})";
}

}  // namespace greentrainer::testing
