#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/generate/generate.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"

namespace greentrainer {

/// The ids that end a text, as the model's folder says: `eos_token_id`, one or a list, of generation_config.json or
/// else of config.json; else the tokenizer's EOS. Nothing where nobody says. How to search (beams, penalties,
/// temperature) is the caller's choice: what else these files say of it is not read. Throws LoadError or ConfigError
/// for a file that is damaged.
template <Backend B>
std::vector<Index> eos_ids_of(const PretrainedModel<B>& model) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    const std::filesystem::path file = model.folder() / name;
    std::error_code error;
    if (!std::filesystem::exists(file, error)) continue;
    const Json json = read_json_file(file, Bytes{16} << 20);
    const ConfigReader config(json, file.string());
    if (!config.has("eos_token_id")) continue;
    const bool list = json.at("eos_token_id").is_array();
    const auto ids =
        list ? config.get<std::vector<Index>>("eos_token_id") : std::vector{config.get<Index>("eos_token_id")};
    for (const Index id : ids) {
      if (id >= 0 && id < model.facts().vocabulary) continue;
      throw ConfigError("config", text(file.string(), ", field \"eos_token_id\": expected ids from 0 to ",
                                       model.facts().vocabulary - 1, ", got ", id));
    }
    return ids;
  }
  if (model.has_tokenizer() && model.tokenizer().eos_id()) return {*model.tokenizer().eos_id()};
  return {};
}

/// Generates text for texts: what a decoder-only model goes on with, or an encoder-decoder's sources. Where `options`
/// name no ends, they are the model's. Throws as Generator, and as Tokenizer::encode.
template <Backend B>
std::vector<std::string> generate_text(PretrainedModel<B>& model, std::span<const std::string> prompts,
                                       GenerateOptions options = {}) {
  if (options.eos_ids.empty()) options.eos_ids = eos_ids_of(model);
  std::vector<std::vector<Index>> ids;
  for (const std::string& prompt : prompts) ids.push_back(model.tokenizer().encode_sequence(prompt));
  std::vector<std::string> texts;
  for (const Generated& generated : generate(model, ids, options))
    texts.push_back(model.tokenizer().decode(generated.ids));
  return texts;
}

}  // namespace greentrainer
