#pragma once

#include <algorithm>
#include <array>
#include <system_error>
#include <unistd.h>

#include "greentrainer/core/error.hpp"
#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/put_in_place.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"

namespace greentrainer::detail {

/// A link in a model folder may lead into it, or to the blobs beside it where Hugging Face's cache keeps the files. Any
/// other would carry a file of the machine's into a folder that is given away.
inline void expect_own_file(const std::filesystem::path& folder, const std::string& name) {
  const auto fail = [&](const auto&... got) {
    throw SaveError("save_pretrained", (folder / name).string(), text("expected a file of the model, got ", got...));
  };
  std::error_code error;
  const auto file = std::filesystem::weakly_canonical(folder / name, error);
  if (std::filesystem::is_symlink(folder / name, error)) {
    if (!std::filesystem::exists(file, error) || std::filesystem::is_symlink(file, error))
      fail("a link to nothing, ", std::filesystem::read_symlink(folder / name, error).string());
    const bool own = std::ranges::any_of(std::array{folder, folder / ".." / ".." / "blobs"}, [&](const auto& home) {
      return file.string().starts_with(std::filesystem::weakly_canonical(home, error).string() + "/");
    });
    if (!own) fail("a link to ", file.string());
  }
  if (!std::filesystem::is_regular_file(file, error)) fail("something else");
  if (::access(file.c_str(), R_OK) != 0) fail('"', errno_text(), '"');
}

GREENTRAINER_INLINE std::vector<std::string> companions_of(const ModelFiles& files) {
  constexpr std::array names = {"tokenizer.json",
                                "tokenizer_config.json",
                                "special_tokens_map.json",
                                "added_tokens.json",
                                "vocab.json",
                                "merges.txt",
                                "tokenizer.model",
                                "spiece.model",
                                "tekken.json",
                                "tiktoken.model",
                                "chat_template.jinja",
                                "chat_template.json",
                                "generation_config.json",
                                "processor_config.json",
                                "preprocessor_config.json",
                                "video_preprocessor_config.json"};
  std::vector<std::string> found;
  for (const char* name : names) {
    if (files.is_folder() ? !is_there(files.path() / name) : !files.has(name)) continue;
    if (files.is_folder()) expect_own_file(files.path(), name);
    found.push_back(name);
  }
  return found;
}

GREENTRAINER_INLINE void write_companions(const ModelFiles& files, const std::filesystem::path& folder,
                                          std::optional<DType> dtype) {
  const std::vector<std::string> companions = companions_of(files);
  auto config = parse_json<OrderedJson>(files.read("config.json"), files.source("config.json"));
  config.erase("quantization_config");  // weights are saved as numbers
  if (dtype) {
    for (const char* field : {"torch_dtype", "dtype"}) {
      if (config.contains(field)) config[field] = name_of(*dtype);
    }
  }
  atomic_write_file(folder / "config.json", config.dump(2) + "\n");
  for (const std::string& name : companions) {
    if (!files.is_folder()) {
      atomic_write_file(folder / name, files.read(name));
      continue;
    }
    constexpr auto again = std::filesystem::copy_options::overwrite_existing;
    std::error_code error;
    do {
      std::filesystem::copy_file(files.path() / name, folder / name, again, error);
    } while (error == std::errc::interrupted);  // by a signal
    if (error)
      throw SaveError("save_pretrained", (folder / name).string(), text("expected to copy it, got ", error.message()));
  }
}

}  // namespace greentrainer::detail
