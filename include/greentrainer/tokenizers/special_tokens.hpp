#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/secret_hash.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/added_tokens.hpp"
#include "greentrainer/tokenizers/vocabulary.hpp"

namespace greentrainer {

/// The added and special tokens that tokenizer_config.json, special_tokens_map.json and added_tokens.json name, as
/// transformers 5.24 reads them (docs/tokenizers.md).
class SpecialTokens {
 public:
  /// In the order in which transformers adds those that the vocabulary does not have.
  enum Role : std::size_t { bos, eos, unk, sep, pad, cls, mask };
  static constexpr std::array<std::string_view, 7> role_names = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                                 "pad_token", "cls_token", "mask_token"};

  /// The files' objects, empty where there is no file, and their names for errors. `config_text`: the bytes of
  /// tokenizer_config.json, whose order of keys counts. Throws LoadError naming file and key.
  struct Files {
    const Json& config;
    std::string config_name;
    std::string config_text;
    const Json& map;
    std::string map_name;
    const Json& added;
    std::string added_name;
  };

  explicit SpecialTokens(const Files& files) {
    const Json none = Json::object();
    const Json* decoder = find(files.config, "added_tokens_decoder");
    has_decoder_ = decoder != nullptr;
    // Newer files have all in tokenizer_config.json; the others are read without it alone.
    const Json& map = has_decoder_ ? none : files.map;
    if (has_decoder_)
      read_decoder(*decoder, files.config_name + ", added_tokens_decoder");
    else
      read_added(files.added);
    for (std::size_t role = 0; role < role_names.size(); ++role) read_role(files, map, role);
    read_named(files, map);
    read_extra(files, map);
    if (!has_decoder_) mark_special();
  }

  std::optional<std::string> content(Role role) const {
    return roles_[role] ? std::optional(roles_[role]->content) : std::nullopt;
  }

  /// For what a class has by default. A role that a file sets, also to null, stays.
  void default_role(Role role, std::string_view token) {
    if (!set_[role] && !roles_[role])
      roles_[role] = AddedToken{.content = std::string(token), .id = nullptr, .special = true};
  }
  void default_extra(std::vector<std::string> tokens) {
    if (has_extra_) return;
    for (auto& token : tokens) extra_.push_back({.content = std::move(token), .id = nullptr, .special = true});
  }

  /// All added tokens in transformers' order; of those with the same content the last one's flags count. `of_file`:
  /// those of tokenizer.json. `rebuilt`: the class does not take them from there, so that they count only where
  /// tokenizer_config.json lists none.
  std::vector<AddedToken> added_tokens(const std::vector<AddedToken>& of_file, bool rebuilt) const {
    std::vector<AddedToken> result;
    if (!rebuilt) result = of_file;
    auto listed = listed_;
    if (!has_decoder_) listed.insert(listed.end(), of_file.begin(), of_file.end());
    std::stable_sort(listed.begin(), listed.end(), [](const AddedToken& a, const AddedToken& b) {
      return a.id.is_number_unsigned() && b.id.is_number_unsigned() &&
             a.id.get<std::uint64_t>() < b.id.get<std::uint64_t>();
    });
    std::vector<AddedToken> named;
    for (const auto& role : roles_) {
      if (role) named.push_back(*role);
    }
    named.insert(named.end(), named_.begin(), named_.end());
    StringMap<bool> special;
    for (const auto& token : named) special.emplace(token.content, true);
    for (auto& token : listed) token.special = token.special || special.contains(token.content);
    result.insert(result.end(), listed.begin(), listed.end());
    StringMap<bool> seen;
    for (const auto& token : result) seen.emplace(token.content, true);
    for (const std::vector<AddedToken>* tokens : {&std::as_const(named), &extra_}) {
      for (const auto& token : *tokens) {
        if (seen.emplace(token.content, true).second) result.push_back(token);
      }
    }
    return result;
  }

 private:
  static const Json* find(const Json& json, std::string_view key) {
    const auto found = json.find(key);
    return found == json.end() || found->is_null() ? nullptr : &*found;
  }

  static bool is_role(std::string_view key) {
    return std::find(role_names.begin(), role_names.end(), key) != role_names.end();
  }

  /// A token given as a text, or as an object with flags.
  static AddedToken special_token(const Json& json, const std::string& source) {
    AddedToken token;
    if (json.is_string()) {
      token.content = json.get<std::string>();
      if (token.content.size() > max_added_token_bytes) {
        throw LoadError("load_tokenizer", source,
                        text("expected at most ", max_added_token_bytes, " bytes, got ", token.content.size()));
      }
    } else {
      token = parse_added_token(Component(json, source));
      token.id = nullptr;
    }
    token.special = true;
    return token;
  }

  void read_decoder(const Json& tokens, const std::string& source) {
    if (!tokens.is_object())
      throw LoadError("load_tokenizer", source, text("expected an object from id to token, got ", tokens.type_name()));
    for (const auto& [id, token] : tokens.items()) {
      auto parsed = parse_added_token(Component(token, text(source, ", ", id)));
      if (id.empty() || id.size() > 9 || id.find_first_not_of("0123456789") != std::string::npos)
        throw LoadError("load_tokenizer", source, text("expected ids as keys, got \"", id, '"'));
      parsed.id = static_cast<std::uint64_t>(std::stoul(id));
      listed_.push_back(std::move(parsed));
    }
  }

  void read_added(const Json& tokens) {
    for (const auto& [content, id] : tokens.items()) {
      AddedToken token;
      token.content = content;
      token.id = id;
      token.normalized = true;
      listed_.push_back(std::move(token));
    }
  }

  void read_role(const Files& files, const Json& map, std::size_t role) {
    const auto name = std::string(role_names[role]);
    const bool in_map = map.contains(name);
    const Json& json = in_map ? map : files.config;
    set_[role] = json.contains(name);
    const Json* value = find(json, name);
    if (value == nullptr || (value->is_string() && value->get_ref<const std::string&>().empty())) return;
    roles_[role] = special_token(*value, text(in_map ? files.map_name : files.config_name, ", ", name));
  }

  /// Tokens under names of their own: "image_token": "<image>", and those of an extra_special_tokens that is an object.
  void read_named(const Files& files, const Json& map) {
    const auto read = [&](const Json& json, const std::string& file, bool texts, std::vector<std::string>& keys) {
      for (const auto& [key, value] : json.items()) {
        if (!key.ends_with("_token") || is_role(key)) continue;
        if (texts ? value.is_string() : value.is_object()) {
          keys.push_back(key);
          named_.push_back(special_token(value, text(file, ", ", key)));
        }
      }
    };
    std::vector<std::string> keys;
    read(files.config, files.config_name, false, keys);
    read(map, files.map_name, true, keys);
    read(map, files.map_name, false, keys);
    const std::size_t first = named_.size();
    read(files.config, files.config_name, true, keys);
    for (const char* group : {"model_specific_special_tokens", "extra_special_tokens"}) {
      const Json* more = find(files.config, group);
      if (more == nullptr || !more->is_object()) continue;
      for (const auto& [key, value] : more->items())
        named_.push_back(special_token(value, text(files.config_name, ", ", group, '.', key)));
    }
    if (const Json* more = find(map, "extra_special_tokens"); more != nullptr && more->is_object()) {
      for (const auto& [key, value] : more->items())
        named_.push_back(special_token(value, text(files.map_name, ", extra_special_tokens.", key)));
    }
    if (named_.size() - first > 1) in_order_of(files, first);
  }

  /// Ids of new tokens follow the order in the file, which Json does not keep.
  void in_order_of(const Files& files, std::size_t first) {
    const auto place = [&](const AddedToken& token) {
      const Json quoted = token.content;
      return files.config_text.find(quoted.dump());
    };
    std::stable_sort(named_.begin() + static_cast<std::ptrdiff_t>(first), named_.end(),
                     [&](const AddedToken& a, const AddedToken& b) { return place(a) < place(b); });
  }

  void read_extra(const Files& files, const Json& map) {
    const auto read = [&](const Json* list, const std::string& source) {
      if (list == nullptr) return;
      if (!list->is_array())
        throw LoadError("load_tokenizer", source, text("expected a list of tokens, got ", list->type_name()));
      has_extra_ = true;
      for (const Json& token : *list) extra_.push_back(special_token(token, source));
    };
    const auto is_list = [](const Json* json) { return json != nullptr && !json->is_object(); };
    const Json* extra = find(files.config, "extra_special_tokens");
    const Json* of_map = find(map, "extra_special_tokens");
    if (is_list(extra) && (of_map == nullptr || is_list(of_map)) && !(extra->is_array() && extra->empty()))
      read(extra, files.config_name + ", extra_special_tokens");
    if (is_list(of_map)) read(of_map, files.map_name + ", extra_special_tokens");
    if (has_extra_) return;
    if (const Json* list = find(map, "additional_special_tokens"))
      read(list, files.map_name + ", additional_special_tokens");
    else
      read(find(files.config, "additional_special_tokens"), files.config_name + ", additional_special_tokens");
  }

  /// Tokens of added_tokens.json are special where something names them.
  void mark_special() {
    for (auto& token : listed_) {
      const auto same = [&](const AddedToken& other) { return other.content == token.content; };
      const bool named =
          std::any_of(roles_.begin(), roles_.end(), [&](const auto& role) { return role && same(*role); }) ||
          std::any_of(extra_.begin(), extra_.end(), same);
      token.special = token.special || named;
      token.normalized = token.normalized && !named;
    }
  }

  bool has_decoder_ = false;
  bool has_extra_ = false;
  std::vector<AddedToken> listed_;
  std::array<std::optional<AddedToken>, role_names.size()> roles_;
  std::array<bool, role_names.size()> set_{};
  std::vector<AddedToken> named_;
  std::vector<AddedToken> extra_;
};

}  // namespace greentrainer
