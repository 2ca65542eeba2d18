#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/io/json.hpp"
#include "greentrainer/io/model_files.hpp"
#include "greentrainer/tokenizers/special_tokens.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"
#include "greentrainer/tokenizers/tokenizer_class.hpp"

namespace greentrainer {

/// What the small files beside a tokenizer say: tokenizer_config.json, special_tokens_map.json, added_tokens.json,
/// config.json, chat_template.jinja. All of them may be missing. docs/tokenizers.md says which file wins for what.
class TokenizerSettings {
 public:
  /// Throws LoadError naming the file, and a key of tokenizer_config.json that is neither followed nor known to be
  /// harmless.
  explicit TokenizerSettings(ModelFiles files) : files_(std::move(files)) {
    const std::string config_text = bytes_of("tokenizer_config.json");
    config_ = object("tokenizer_config.json", config_text);
    model_config_ = read("config.json");
    check_keys();
    const Json map = read("special_tokens_map.json");
    const Json added = read("added_tokens.json");
    special_.emplace(SpecialTokens::Files{config_, name_of_file("tokenizer_config.json"), config_text, map,
                                          name_of_file("special_tokens_map.json"), added,
                                          name_of_file("added_tokens.json")});
    model_type_ = text_or(model_config_, "model_type", "config.json");
    class_name_ = text_or(config_, "tokenizer_class", "tokenizer_config.json");
    if (class_name_.empty()) class_name_ = text_or(model_config_, "tokenizer_class", "config.json");
    adds_bos_ = flag_or("add_bos_token", false);
    adds_eos_ = flag_or("add_eos_token", false);
    legacy_ = flag_or("legacy", false);
    splits_special_tokens_ = flag_or("split_special_tokens", false);
    if (find(config_, "add_prefix_space") != nullptr) add_prefix_space_ = flag_or("add_prefix_space", false);
    read_chat_templates();
  }

  const std::string& model_type() const { return model_type_; }
  const std::string& class_name() const { return class_name_; }

  /// `byte_level`: tokenizer.json has a ByteLevel part.
  TokenizerClass tokenizer_class(bool byte_level) const {
    return tokenizer_class_of(class_name_, model_type_, byte_level, name_of_file("tokenizer_config.json"));
  }
  std::optional<bool> add_prefix_space() const { return add_prefix_space_; }
  bool legacy() const { return legacy_; }

  /// Special tokens that stand in a text are text.
  bool splits_special_tokens() const { return splits_special_tokens_; }

  SpecialTokens& special() { return *special_; }
  const SpecialTokens& special() const { return *special_; }

  /// How many tokens `<extra_id_0>`, ... T5's tokenizer adds to its SentencePiece file; nothing where the files do not
  /// say.
  std::optional<std::size_t> extra_ids() const {
    const Json* value = find(config_, "extra_ids");
    if (value == nullptr) return std::nullopt;
    constexpr std::uint64_t most = 10000;
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > most) {
      throw LoadError("load_tokenizer", text(name_of_file("tokenizer_config.json"), ", field \"extra_ids\""),
                      text("expected a count from 0 to ", most, ", got ", value->dump(-1, ' ', true).substr(0, 40)));
    }
    return value->get<std::size_t>();
  }

  /// What the files' flags put around a sequence: they count without tokenizer.json alone.
  bool adds_bos() const { return adds_bos_; }
  bool adds_eos() const { return adds_eos_; }

  /// Ids of the roles, given what the vocabulary knows (`id_of` a token, `token_of` an id: "" for none). A role without
  /// a name takes its id from config.json. Throws LoadError for a BOS or EOS outside the vocabulary.
  template <class IdOf, class TokenOf>
  TokenizerTraits traits(const IdOf& id_of, const TokenOf& token_of) const {
    TokenizerTraits result;
    const std::array<std::pair<SpecialTokens::Role, std::optional<Index>*>, 4> ids = {{
        {SpecialTokens::bos, &result.bos_id},
        {SpecialTokens::eos, &result.eos_id},
        {SpecialTokens::pad, &result.pad_id},
        {SpecialTokens::unk, &result.unk_id},
    }};
    for (const auto& [role, id] : ids) {
      const bool needed = role == SpecialTokens::bos || role == SpecialTokens::eos;
      const auto name = SpecialTokens::role_names[role];
      const auto content = special_->content(role);
      if (content) *id = id_of(*content);
      if (content && !*id && needed) {
        throw LoadError("load_tokenizer", files_.path().string(),
                        text("expected ", name, " in the vocabulary, got \"", *content, "\", which is not"));
      }
      if (*id) continue;
      const auto key = text(name, "_id");
      const auto in_config = id_in_config(key);
      if (in_config && !token_of(*in_config).empty())
        *id = in_config;
      else if (in_config && needed)
        throw LoadError("load_tokenizer", text(name_of_file("config.json"), ", field \"", key, '"'),
                        text("expected an id of the vocabulary, got ", *in_config));
    }
    for (std::size_t role = 0; role < SpecialTokens::role_names.size(); ++role) {
      if (auto content = special_->content(static_cast<SpecialTokens::Role>(role)))
        result.special_tokens.emplace_back(SpecialTokens::role_names[role], std::move(*content));
    }
    result.chat_templates = chat_templates_;
    return result;
  }

 private:
  /// Keys that transformers 5.24 reads and that change no ids here: they are about whole batches (padding, truncation,
  /// lengths), about decoded text, about other classes, or notes.
  static constexpr std::array harmless = std::to_array<std::string_view>({
      "__type",
      "add_bos_token",
      "add_eos_token",
      "added_tokens_decoder",
      "additional_special_tokens",
      "add_prefix_space",
      "backend",
      "chat_control_tokens",
      "chat_template",
      "clean_up_tokenization_spaces",
      "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
      "device_map",
      "do_basic_tokenize",
      "do_lower_case",
      "errors",
      "extra_ids",
      "extra_special_tokens",
      "feature_extractor_type",
      "from_slow",
      "image_processor_type",
      "is_local",
      "keep_accents",
      "legacy",
      "legacy_behaviour",
      "local_files_only",
      "max_len",
      "max_length",
      "merges_file",
      "model_input_names",
      "model_max_length",
      "model_specific_special_tokens",
      "name_or_path",
      "never_split",
      "pad_to_max_length",
      "pad_to_multiple_of",
      "pad_token_type_id",
      "padding",
      "padding_side",
      "processor_class",
      "remove_space",
      "response_schema",
      "response_template",
      "return_token_type_ids",
      "sp_model_kwargs",
      "spaces_between_special_tokens",
      "special_tokens_map_file",
      "split_special_tokens",
      "stride",
      "strip_accents",
      "tokenize_chinese_chars",
      "tokenizer_class",
      "tokenizer_file",
      "tool_parser_type",
      "transformers_version",
      "trim_offsets",
      "truncation",
      "truncation_side",
      "truncation_strategy",
      "trust_remote_code",
      "use_default_system_prompt",
      "use_fast",
      "verbose",
      "vocab_file",
      "vocab_size",
  });

  void check_keys() const {
    for (const auto& [key, value] : config_.items()) {
      const bool known = key.ends_with("_token") || key.ends_with("_token_id") || value.is_null() ||
                         std::find(harmless.begin(), harmless.end(), key) != harmless.end();
      const bool empty = (value.is_array() || value.is_object()) && value.empty();
      const bool off = (key == "fix_mistral_regex" && value == false) || (key == "init_inputs" && empty);
      if (known || off) continue;
      throw LoadError("load_tokenizer", text(name_of_file("tokenizer_config.json"), ", field \"", key, '"'),
                      text("expected a field that is followed or known to change no ids, got ",
                           value.dump(-1, ' ', true).substr(0, 40), "; remove it if it changes none"));
    }
  }

  std::string name_of_file(std::string_view file) const { return files_.source(file); }

  std::string bytes_of(std::string_view file) const {
    return files_.has(file) ? files_.read(file, Bytes{64} << 20) : std::string();
  }

  /// Empty where there is no file.
  Json object(std::string_view file, const std::string& bytes) const {
    if (!files_.has(file)) return Json::object();
    Json json = parse_json(bytes, name_of_file(file));
    if (!json.is_object())
      throw LoadError("load_tokenizer", name_of_file(file), text("expected a JSON object, got ", json.type_name()));
    return json;
  }
  Json read(std::string_view file) const { return object(file, bytes_of(file)); }

  static const Json* find(const Json& json, std::string_view key) {
    const auto found = json.find(key);
    return found == json.end() || found->is_null() ? nullptr : &*found;
  }

  bool flag_or(std::string_view key, bool fallback) const {
    const Json* value = find(config_, key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean())
      throw LoadError("load_tokenizer", text(name_of_file("tokenizer_config.json"), ", field \"", key, '"'),
                      text("expected true or false, got ", value->type_name()));
    return value->get<bool>();
  }

  std::string text_or(const Json& json, std::string_view key, std::string_view file) const {
    const Json* value = find(json, key);
    if (value == nullptr) return "";
    if (!value->is_string())
      throw LoadError("load_tokenizer", text(name_of_file(file), ", field \"", key, "\""),
                      text("expected a text, got ", value->type_name()));
    return value->get<std::string>();
  }

  /// Nothing where it is absent or negative, which some files write for none.
  std::optional<Index> id_in_config(const std::string& key) const {
    const Json* value = find(model_config_, key);
    if (value != nullptr && value->is_array() && !value->empty()) value = &value->front();  // Llama 3 lists several EOS
    if (value == nullptr || (value->is_number_integer() && !value->is_number_unsigned())) return std::nullopt;
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > 0x7fffffffU) {
      throw LoadError("load_tokenizer", text(name_of_file("config.json"), ", field \"", key, "\""),
                      text("expected an id, got ", value->dump(-1, ' ', true).substr(0, 40)));
    }
    return static_cast<Index>(value->get<std::uint64_t>());
  }

  /// chat_template.jinja and additional_chat_templates/*.jinja, or, where there is neither, the field of
  /// tokenizer_config.json: one template, or several with names.
  void read_chat_templates() {
    constexpr Bytes most{16 << 20};
    const auto add = [&](std::string name, const std::string& file) {
      chat_templates_.push_back({std::move(name), name_of_file(file), files_.read(file, most)});
    };
    if (files_.has("chat_template.jinja")) add("default", "chat_template.jinja");
    for (const std::string& file : files_.names_in("additional_chat_templates", ".jinja"))
      add(std::filesystem::path(file).stem().string(), file);
    const Json* value = find(config_, "chat_template");
    if (!chat_templates_.empty() || value == nullptr) return;
    const std::string source = name_of_file("tokenizer_config.json") + ", chat_template";
    const auto refuse = [&](const Json& got) {
      throw LoadError("load_tokenizer", text(name_of_file("tokenizer_config.json"), ", field \"chat_template\""),
                      text("expected a text, or a list of objects with name and template, got ", got.type_name()));
    };
    if (value->is_string()) {
      chat_templates_.push_back({"default", source, value->get<std::string>()});
      return;
    }
    if (!value->is_array()) refuse(*value);
    for (const Json& entry : *value) {
      const auto field = [&](const char* key) -> const std::string& {
        const Json* found = entry.is_object() ? find(entry, key) : nullptr;
        if (found == nullptr || !found->is_string()) refuse(entry);
        return found->get_ref<const std::string&>();
      };
      chat_templates_.push_back({field("name"), text(source, " \"", field("name"), '"'), field("template")});
    }
  }

  ModelFiles files_;
  Json config_;  // tokenizer_config.json
  Json model_config_;
  std::optional<SpecialTokens> special_;
  std::string model_type_;
  std::string class_name_;
  bool adds_bos_ = false;
  bool adds_eos_ = false;
  bool legacy_ = false;
  bool splits_special_tokens_ = false;
  std::optional<bool> add_prefix_space_;
  std::vector<ChatTemplateSource> chat_templates_;
};

}  // namespace greentrainer
