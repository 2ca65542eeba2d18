#pragma once

#include "greentrainer/core/error.hpp"
#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/generation_ends.hpp"

namespace greentrainer {

namespace detail {

GREENTRAINER_INLINE std::optional<std::vector<Index>> eos_ids_in(const ModelFiles& files, Extent vocabulary) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    if (!files.has(name)) continue;
    auto config = ConfigReader::from_files(files, name);
    if (!config.has("eos_token_id")) {
      const auto of_text = config.section("text_config");  // of a model that reads images too
      if (!of_text || !of_text->has("eos_token_id")) continue;
      config = *of_text;
    }
    auto ids = config.get_one_or_list<Index>("eos_token_id");
    for (const Index id : ids) {
      if (id >= 0 && id < vocabulary) continue;
      throw ConfigError("config", text(config.source(), ", field \"eos_token_id\""),
                        text("expected ids from 0 to ", vocabulary - 1, ", got ", id));
    }
    return ids;
  }
  return std::nullopt;
}

GREENTRAINER_INLINE void write_eos_ids(const ModelFiles& files, const std::filesystem::path& saved,
                                       const std::vector<Index>& ids) {
  OrderedJson generation = OrderedJson::object();
  const auto read = [&](const char* name) {
    return parse_json<OrderedJson>(files.read(name, Bytes{16} << 20), files.source(name));
  };
  if (files.has("generation_config.json")) {
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

}  // namespace detail

GREENTRAINER_INLINE std::vector<std::string> generation_settings_not_followed(const ModelFiles& files) {
  const char* const name = "generation_config.json";
  if (!files.has(name)) return {};
  const auto config = ConfigReader::from_files(files, name);
  config.ignore({"eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id", "transformers_version",
                 "_from_model_config", "use_cache"});
  std::vector<std::string> names;
  for (const std::string& field : config.unread()) {
    if (!config.is_off(field)) names.push_back(field);
  }
  return names;
}

}  // namespace greentrainer
