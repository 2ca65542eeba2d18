#pragma once

#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/incomplete_marker.hpp"
#include "greentrainer/pretrained/adapter_config.hpp"
#include "greentrainer/pretrained/adapter_folder.hpp"

namespace greentrainer {

GREENTRAINER_INLINE AdapterFolder read_adapter(const std::filesystem::path& folder) {
  expect_complete_folder("load_adapter", folder);
  const auto config = ConfigReader::from_file(folder / "adapter_config.json");
  AdapterFolder adapter{.options = {},
                        .prefix_sizes = {},
                        .config_file = folder / "adapter_config.json",
                        .tensors = SafetensorsFile(folder / "adapter_model.safetensors")};
  const auto type = config.get<std::string>("peft_type");
  if (type == "LORA") {
    adapter.options.lora = detail::read_lora(config, adapter.tensors);
  } else if (type == "PREFIX_TUNING") {
    adapter.options.prefix_tokens = detail::read_prefix(config, adapter.tensors, adapter.prefix_sizes);
  } else {
    throw ConfigError("config", text(config.source(), ", field \"peft_type\""),
                      text("expected LORA or PREFIX_TUNING, got ", type));
  }
  return adapter;
}

}  // namespace greentrainer
