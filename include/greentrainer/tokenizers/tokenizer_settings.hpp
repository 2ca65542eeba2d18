#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/added_tokens.hpp"
#include "greentrainer/tokenizers/post_processor.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// What the small files beside a tokenizer say: tokenizer_config.json, special_tokens_map.json, added_tokens.json,
/// config.json, chat_template.jinja. All of them may be missing.
class TokenizerSettings {
 public:
  enum Role : std::size_t { bos, eos, pad, unk };
  static constexpr std::array<std::string_view, 4> role_names = {"bos_token", "eos_token", "pad_token", "unk_token"};

  /// Throws LoadError naming the file.
  explicit TokenizerSettings(std::filesystem::path folder) : folder_(std::move(folder)) {
    tokenizer_config_ = read("tokenizer_config.json");
    special_tokens_map_ = read("special_tokens_map.json");
    model_config_ = read("config.json");
    model_type_ = text_or(model_config_, "model_type", "config.json");
    tokenizer_class_ = text_or(tokenizer_config_, "tokenizer_class", "tokenizer_config.json");
    if (const Json* flag = find(tokenizer_config_, "add_bos_token")) add_bos_token_ = boolean(*flag, "add_bos_token");
    if (const Json* flag = find(tokenizer_config_, "add_eos_token")) add_eos_token_ = boolean(*flag, "add_eos_token");
    if (const Json* flag = find(tokenizer_config_, "add_prefix_space"))
      add_prefix_space_ = boolean(*flag, "add_prefix_space");
    read_added_tokens();
    for (Role role : {bos, eos, pad, unk}) read_role(role);
    read_chat_template();
  }

  const std::string& model_type() const { return model_type_; }
  const std::string& tokenizer_class() const { return tokenizer_class_; }
  bool add_prefix_space() const { return add_prefix_space_; }

  /// How many tokens <extra_id_0>, ... T5's tokenizer adds to its SentencePiece file; nothing where the files do not
  /// say.
  std::optional<std::size_t> extra_ids() const {
    const Json* value = find(tokenizer_config_, "extra_ids");
    if (value == nullptr) return std::nullopt;
    constexpr std::uint64_t most = 10000;
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > most) {
      throw LoadError("load_tokenizer",
                      text(name_of_file("tokenizer_config.json"), ", field \"extra_ids\": expected a count from 0 to ",
                           most, ", got ", value->dump(-1, ' ', true).substr(0, 40)));
    }
    return value->get<std::size_t>();
  }

  /// Added tokens that these files list, tokens named twice included.
  const std::vector<AddedToken>& added() const { return added_; }

  /// The special tokens that roles name: to be recognised in texts if the vocabulary knows them.
  const std::vector<AddedToken>& role_tokens() const { return role_tokens_; }

  /// Tokenizers have special tokens by default, for folders that name none.
  void default_role(Role role, std::string_view token) {
    if (roles_[role]) return;
    roles_[role] = token;
    role_tokens_.push_back({.content = std::string(token), .id = nullptr, .special = true});
  }

  /// Ids of the roles and the rest, given what the vocabulary knows (`id_of` a token, `token_of` an id: "" for none)
  /// and what the post-processor of tokenizer.json, if there is one, puts around a sequence. A role without a name
  /// takes its id from there, or from config.json. Throws LoadError for a BOS or EOS outside the vocabulary.
  template <class IdOf, class TokenOf>
  TokenizerTraits traits(const IdOf& id_of, const TokenOf& token_of, const std::optional<SequenceEnds>& ends) const {
    TokenizerTraits result;
    const std::array<std::optional<Index>*, 4> ids = {&result.bos_id, &result.eos_id, &result.pad_id, &result.unk_id};
    for (Role role : {bos, eos, pad, unk}) {
      const bool needed = role == bos || role == eos;
      if (roles_[role]) *ids[role] = id_of(*roles_[role]);
      if (roles_[role] && !*ids[role] && needed) {
        throw LoadError("load_tokenizer", text(folder_.string(), ": expected ", role_names[role],
                                               " in the vocabulary, got \"", *roles_[role], "\", which is not"));
      }
      if (*ids[role]) continue;
      const auto key = text(role_names[role], "_id");
      const auto id = id_in_config(key);
      if (id && !token_of(*id).empty())
        *ids[role] = id;
      else if (id && needed)
        throw LoadError("load_tokenizer", text(name_of_file("config.json"), ", field \"", key,
                                               "\": expected an id of the vocabulary, got ", *id));
    }
    if (ends && ends->bos) result.bos_id = ends->bos->id;
    if (ends && ends->eos) result.eos_id = ends->eos->id;
    result.adds_bos = adds_bos_of(ends);
    result.adds_eos = adds_eos_of(ends);
    result.chat_template = chat_template_;
    return result;
  }

 private:
  /// Whether BOS goes in front of a sequence: what the files say first decides.
  /// 1. tokenizer_config.json's add_bos_token;
  /// 2. tokenizer.json's post-processor: whether it puts a special token in front (SmolLM2, GPT-2, T5: none);
  /// 3. the class: Llama's SentencePiece tokenizers add BOS by default;
  /// 4. the model: OPT does (</s>, id 2), others do not.
  bool adds_bos_of(const std::optional<SequenceEnds>& ends) const {
    if (add_bos_token_) return *add_bos_token_;
    if (ends) return ends->bos.has_value();
    if (tokenizer_class_ == "LlamaTokenizer" || tokenizer_class_ == "LlamaTokenizerFast") return true;
    return model_type_ == "opt";
  }

  /// Whether EOS goes behind, by the first two of these.
  bool adds_eos_of(const std::optional<SequenceEnds>& ends) const { return add_eos_token_.value_or(ends && ends->eos); }

  std::string name_of_file(std::string_view file) const { return (folder_ / file).string(); }

  Json read(std::string_view file) const {
    std::error_code error;
    if (!std::filesystem::exists(folder_ / file, error)) return Json::object();
    Json json = read_json_file(folder_ / file, Bytes{64} << 20);
    if (!json.is_object())
      throw LoadError("load_tokenizer", text(name_of_file(file), ": expected a JSON object, got ", json.type_name()));
    return json;
  }

  static const Json* find(const Json& json, std::string_view key) {
    const auto found = json.find(key);
    return found == json.end() || found->is_null() ? nullptr : &*found;
  }

  bool boolean(const Json& value, std::string_view key) const {
    if (!value.is_boolean())
      throw LoadError("load_tokenizer", text(name_of_file("tokenizer_config.json"), ", field \"", key,
                                             "\": expected true or false, got ", value.type_name()));
    return value.get<bool>();
  }

  std::string text_or(const Json& json, std::string_view key, std::string_view file) const {
    const Json* value = find(json, key);
    if (value == nullptr) return "";
    if (!value->is_string())
      throw LoadError("load_tokenizer",
                      text(name_of_file(file), ", field \"", key, "\": expected a text, got ", value->type_name()));
    return value->get<std::string>();
  }

  void read_added_tokens() {
    if (const Json* tokens = find(tokenizer_config_, "added_tokens_decoder")) {
      const auto source = name_of_file("tokenizer_config.json") + ", added_tokens_decoder";
      if (!tokens->is_object())
        throw LoadError("load_tokenizer",
                        text(source, ": expected an object from id to token, got ", tokens->type_name()));
      for (const auto& [id, token] : tokens->items()) {
        auto parsed = parse_added_token(Component(token, text(source, ", ", id)));
        if (id.empty() || id.size() > 9 || id.find_first_not_of("0123456789") != std::string::npos) {
          throw LoadError("load_tokenizer", text(source, ": expected ids as keys, got \"", id, '"'));
        }
        parsed.id = static_cast<std::uint64_t>(std::stoul(id));
        added_.push_back(std::move(parsed));
      }
    }
    const auto added_tokens = read("added_tokens.json");
    for (const auto& [content, id] : added_tokens.items()) {
      AddedToken token;
      token.content = content;
      token.id = id;
      token.normalized = true;
      added_.push_back(std::move(token));
    }
  }

  /// A special token, given as a text or as an object with flags.
  AddedToken special_token(const Json& json, const std::string& source) const {
    AddedToken token;
    if (json.is_string()) {
      token.content = json.get<std::string>();
    } else {
      token = parse_added_token(Component(json, source));
    }
    token.special = true;
    return token;
  }

  void read_role(Role role) {
    for (const auto& [json, file] : {std::pair{&tokenizer_config_, "tokenizer_config.json"},
                                     std::pair{&special_tokens_map_, "special_tokens_map.json"}}) {
      const Json* value = find(*json, role_names[role]);
      if (value == nullptr || (value->is_string() && value->get_ref<const std::string&>().empty())) continue;
      auto token = special_token(*value, text(name_of_file(file), ", ", role_names[role]));
      roles_[role] = token.content;
      role_tokens_.push_back(std::move(token));
      return;
    }
  }

  /// Nothing where it is absent or negative, which some files write for none.
  std::optional<Index> id_in_config(const std::string& key) const {
    const Json* value = find(model_config_, key);
    if (value != nullptr && value->is_array() && !value->empty()) value = &value->front();  // Llama 3 lists several EOS
    if (value == nullptr || (value->is_number_integer() && !value->is_number_unsigned())) return std::nullopt;
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > 0x7fffffffU) {
      throw LoadError("load_tokenizer", text(name_of_file("config.json"), ", field \"", key, "\": expected an id, got ",
                                             value->dump(-1, ' ', true).substr(0, 40)));
    }
    return static_cast<Index>(value->get<std::uint64_t>());
  }

  void read_chat_template() {
    std::error_code error;
    if (std::filesystem::exists(folder_ / "chat_template.jinja", error)) {
      chat_template_ = read_file(folder_ / "chat_template.jinja", Bytes{16} << 20);
    } else if (const Json* value = find(tokenizer_config_, "chat_template")) {
      if (value->is_string()) {
        chat_template_ = value->get<std::string>();
      } else if (!value->is_array()) {
        throw LoadError("load_tokenizer",
                        text(name_of_file("tokenizer_config.json"),
                             ", field \"chat_template\": expected a text or a list, got ", value->type_name()));
      } else {  // several: [{"name": ..., "template": ...}]
        for (const Json& entry : *value) {
          if (entry.is_object() && entry.value("name", Json()) == "default" &&
              entry.value("template", Json()).is_string()) {
            chat_template_ = entry["template"].get<std::string>();
          }
        }
      }
    }
  }

  std::filesystem::path folder_;
  Json tokenizer_config_;
  Json special_tokens_map_;
  Json model_config_;
  std::string model_type_;
  std::string tokenizer_class_;
  std::optional<bool> add_bos_token_;
  std::optional<bool> add_eos_token_;
  bool add_prefix_space_ = false;
  std::vector<AddedToken> added_;
  std::vector<AddedToken> role_tokens_;
  std::array<std::optional<std::string>, 4> roles_;
  std::string chat_template_;
};

}  // namespace greentrainer
