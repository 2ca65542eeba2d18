#pragma once

#include <cmath>

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// gpt-oss: windows in every other layer, attention with sinks, and experts whose tensors are those of all experts of a
/// layer. Rotary frequencies are scaled (yarn) where config.json does not say otherwise.
struct GptOss {
  static constexpr std::string_view model_type = "gpt_oss";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d =
        causal_decoder_from(config, model_type, {.epsilon = 1e-5, .head_dim = 64, .rotary = {.theta = 150000}});
    if (config.is_off("rope_scaling") && config.is_off("rope_parameters")) scale_as_published(d.rotaries.front());
    read_window(config, d, 128, layer_types_from(config, d, full_every(d, 2)));
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", true);
    d.names.sinks = "self_attn.sinks";
    d.norm.kept_in_float32 = true;
    read_experts(config, d, {.count = 128, .per_token = 4, .width_field = "intermediate_size", .normalised = true});
    d.experts.router = "mlp.router";
    d.experts.prefix = "mlp.experts";
    const ClampedGate published;
    const double limit = config.get_or<double>("swiglu_limit", published.limit);
    d.experts.fused = {.slope = config.get_or<double>("swiglu_alpha", published.slope),
                       .limit = detail::positive_number(config, "swiglu_limit", limit)};
    config.ignore({"experts_per_token", "initial_context_length"});  // transformers reads other fields for these
    finish_config(config);
    return d;
  }

 private:
  static void scale_as_published(RotaryShape& rotary) {
    rotary.scaling = {.kind = RotaryScaling::Kind::yarn, .factor = 32, .original_positions = 4096, .truncate = false};
    rotary.amplitude = 0.1 * std::log(rotary.scaling.factor) + 1;
  }
};

}  // namespace greentrainer
