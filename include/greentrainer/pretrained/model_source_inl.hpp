#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/io/checkpoint.hpp"
#include "greentrainer/io/gguf.hpp"
#include "greentrainer/io/incomplete_marker.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/model_files.hpp"
#include "greentrainer/models/gguf_config.hpp"
#include "greentrainer/pretrained/model_source.hpp"
#include "greentrainer/tokenizers/gguf_tokenizer.hpp"

namespace greentrainer {

namespace detail {

/// The one GGUF file of a folder without safetensors; nothing for other folders. Throws LoadError for several.
inline std::optional<std::filesystem::path> gguf_in_folder(std::string_view where,
                                                           const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  if (Checkpoint::has_weights(folder)) return std::nullopt;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".gguf") found.push_back(entry.path());
  }
  if (found.empty()) return std::nullopt;
  if (found.size() > 1) {
    std::ranges::sort(found);
    throw LoadError(where, folder.string(),
                    text("expected model.safetensors or one GGUF file, got ", found.size(), " of them, ",
                         found[0].filename().string(), " and ", found[1].filename().string(),
                         " among them; give the file in the folder's place"));
  }
  return found.front();
}

}  // namespace detail

GREENTRAINER_INLINE std::shared_ptr<const Checkpoint> ModelSource::checkpoint() const {
  if (gguf) return std::make_shared<const Checkpoint>(gguf);
  constexpr std::string_view name = "config.json";
  if (!files.has(name)) return std::make_shared<const Checkpoint>(files.path());
  const std::string config = files.source(name);
  const Json json = parse_json(files.read(name), config);
  const auto field = json.is_object() ? json.find("quantization_config") : json.end();
  if (!json.is_object() || field == json.end() || field->is_null())
    return std::make_shared<const Checkpoint>(files.path());
  return std::make_shared<const Checkpoint>(files.path(), *field, text(config, ", quantization_config"));
}

GREENTRAINER_INLINE ModelSource open_model(std::string_view where, const std::filesystem::path& path) {
  expect_complete_folder(where, path);
  std::error_code error;
  const auto file =
      std::filesystem::is_regular_file(path, error) ? std::optional(path) : detail::gguf_in_folder(where, path);
  if (!file) return {.files = path};
  auto gguf = std::make_shared<const GgufFile>(*file);
  auto texts = gguf_tokenizer_files(*gguf);
  texts["config.json"] = gguf_config(*gguf).dump(2) + "\n";
  return {.files = ModelFiles(*file, std::move(texts)), .gguf = std::move(gguf)};
}

}  // namespace greentrainer
