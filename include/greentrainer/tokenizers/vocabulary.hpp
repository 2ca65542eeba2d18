#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/secret_hash.hpp"
#include "greentrainer/core/types.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// Tokens and their ids, one to one. Ids may leave gaps.
class Vocabulary {
 public:
  Vocabulary() = default;

  /// From {"token": id, ...}. Throws LoadError naming `source` and the token: no object, an id that is none or far
  /// beyond the number of tokens, an id twice, an empty token.
  Vocabulary(const Json& json, std::string_view source) {
    if (!json.is_object())
      throw LoadError("load_tokenizer", source, text("expected an object from token to id, got ", json.type_name()));
    ids_.reserve(json.size());
    for (const auto& [token, id] : json.items()) insert(token, checked_id(id, token, json.size(), source), source);
  }

  /// One more token. Throws LoadError if it is empty, its id far beyond the others, or one of the two taken.
  void add(std::string_view token, const Json& id, std::string_view source) {
    insert(token, checked_id(id, token, ids_.size(), source), source);
  }

  /// One more than the highest id.
  Extent size() const { return static_cast<Extent>(tokens_.size()); }

  std::optional<Index> id(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }

  /// Empty for an id without a token.
  const std::string& token(Index id) const {
    static const std::string none;
    return id >= 0 && id < size() ? tokens_[static_cast<std::size_t>(id)] : none;
  }

 private:
  /// A wild id must not cost gigabytes.
  static Index checked_id(const Json& id, std::string_view token, std::size_t count, std::string_view source) {
    const auto limit = std::min<std::uint64_t>(4 * std::uint64_t{count} + 65536, std::uint64_t{1} << 30);
    if (id.is_number_unsigned() && id.get<std::uint64_t>() < limit) return static_cast<Index>(id.get<std::uint64_t>());
    throw LoadError("load_tokenizer", text(source, ", token \"", token, "\""),
                    text("expected an id from 0 to ", limit - 1, ", got ", id.dump(-1, ' ', true).substr(0, 40)));
  }

  void insert(std::string_view token, Index id, std::string_view source) {
    if (token.empty())
      throw LoadError("load_tokenizer", text(source, ", id ", id), "expected a token, got an empty text");
    const auto at = static_cast<std::size_t>(id);
    if (at >= tokens_.size()) tokens_.resize(at + 1);
    if (!tokens_[at].empty()) {
      throw LoadError("load_tokenizer", text(source, ", id ", id),
                      text("expected one token, got \"", tokens_[at], "\" and \"", token, '"'));
    }
    if (!ids_.emplace(token, id).second)
      throw LoadError("load_tokenizer", text(source, ", token \"", token, "\""), "expected one id, got two");
    tokens_[at] = token;
  }

  std::vector<std::string> tokens_;  // "" where an id has no token
  StringMap<Index> ids_;
};

}  // namespace greentrainer
