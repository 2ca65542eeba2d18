#pragma once

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"

namespace greentrainer {

/// The ids that end a text, as the model's folder says: `eos_token_id`, one or a list, of generation_config.json or
/// else of config.json; else the tokenizer's EOS. Empty if no file defines an EOS id. Throws LoadError or ConfigError
/// for a file that is damaged.
template <Backend B>
std::vector<Index> eos_ids_of(const PretrainedModel<B>& model) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    if (!model.files().has(name)) continue;
    const std::string file = model.files().source(name);
    const Json json = parse_json(model.files().read(name, Bytes{16} << 20), file);
    const ConfigReader config(json, file);
    if (!config.has("eos_token_id")) continue;
    const bool list = json.at("eos_token_id").is_array();
    const auto ids =
        list ? config.get<std::vector<Index>>("eos_token_id") : std::vector{config.get<Index>("eos_token_id")};
    for (const Index id : ids) {
      if (id >= 0 && id < model.facts().vocabulary) continue;
      throw ConfigError("config", text(file, ", field \"eos_token_id\""),
                        text("expected ids from 0 to ", model.facts().vocabulary - 1, ", got ", id));
    }
    return ids;
  }
  if (model.has_tokenizer() && model.tokenizer().eos_id()) return {*model.tokenizer().eos_id()};
  return {};
}

/// Settings of generation_config.json that transformers' generate would follow and ours does not: how to search is the
/// caller's choice.
template <Backend B>
std::vector<std::string> generation_settings_not_followed(const PretrainedModel<B>& model) {
  const char* const name = "generation_config.json";
  if (!model.files().has(name)) return {};
  const auto config = ConfigReader::from_files(model.files(), name);
  config.ignore({"eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id", "transformers_version",
                 "_from_model_config", "use_cache"});
  std::vector<std::string> names;
  for (const std::string& field : config.unread()) {
    if (!config.is_off(field)) names.push_back(field);
  }
  return names;
}

/// Adds ids to those that end a text, in the generation_config.json of a saved folder: tokens that ended the turns of
/// the conversations trained on (Dataset::end_of_turn_ids), which the model was taught to stop with. Where the model
/// has no such file one is made, with what transformers takes from config.json instead. Does nothing where all of them
/// end texts already. Throws SaveError, and as eos_ids_of.
template <Backend B>
void write_generation_ends(const PretrainedModel<B>& model, const std::filesystem::path& saved,
                           std::span<const Index> ends) {
  std::vector<Index> ids = eos_ids_of(model);
  const std::size_t before = ids.size();
  for (const Index id : ends) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  if (ids.size() == before) return;
  OrderedJson generation = OrderedJson::object();
  const auto read = [&](const char* name) {
    return parse_json<OrderedJson>(model.files().read(name, Bytes{16} << 20), model.files().source(name));
  };
  if (model.files().has("generation_config.json")) {
    generation = read("generation_config.json");
  } else {
    const OrderedJson config = read("config.json");
    for (const char* field : {"bos_token_id", "pad_token_id", "decoder_start_token_id"}) {
      if (config.contains(field) && !config.at(field).is_null()) generation[field] = config.at(field);
    }
  }
  generation["eos_token_id"] = ids;
  atomic_write_file(saved / "generation_config.json", generation.dump(2) + "\n");
}

}  // namespace greentrainer
