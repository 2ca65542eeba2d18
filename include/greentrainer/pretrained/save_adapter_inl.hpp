#pragma once

#include <cmath>
#include <cstdint>

#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/save_adapter.hpp"

namespace greentrainer::detail {

GREENTRAINER_INLINE void write_adapter_config(const std::filesystem::path& file, const AdapterSettings& settings) {
  OrderedJson config = {
      {"peft_type", settings.lora ? "LORA" : "PREFIX_TUNING"},
      {"task_type", settings.encoder_decoder ? "SEQ_2_SEQ_LM" : "CAUSAL_LM"},
      {"base_model_name_or_path", std::filesystem::absolute(settings.base).lexically_normal().string()},
      {"inference_mode", true}};
  if (settings.lora) {
    config["r"] = settings.lora->rank;
    const double alpha = settings.lora->alpha;
    if (alpha == std::floor(alpha) && std::abs(alpha) < 1e15)  // as an integer, as peft writes it
      config["lora_alpha"] = static_cast<std::int64_t>(alpha);
    else
      config["lora_alpha"] = alpha;
    config["lora_dropout"] = settings.lora->dropout;
    config["target_modules"] = settings.layers;
    config["bias"] = "none";
    config["fan_in_fan_out"] = settings.transposed;
  } else {
    config["num_virtual_tokens"] = settings.prefix.tokens;
    config["num_layers"] = settings.prefix.layers;
    config["token_dim"] = settings.prefix.width;
    config["num_transformer_submodules"] = settings.encoder_decoder ? 2 : 1;
    config["prefix_projection"] = false;
  }
  atomic_write_file(file, config.dump(2) + "\n");
}

}  // namespace greentrainer::detail
