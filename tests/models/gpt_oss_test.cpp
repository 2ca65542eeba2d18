// gpt-oss as its published config.json describes it. What it computes is compared with transformers in
// architectures_test.cpp.

#include "greentrainer/models/gpt_oss.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// The 20B model's, in the fields of the published folder.
Json published() {
  return {{"model_type", "gpt_oss"},
          {"attention_bias", true},
          {"experts_per_token", 4},
          {"head_dim", 64},
          {"hidden_act", "silu"},
          {"hidden_size", 2880},
          {"initial_context_length", 4096},
          {"intermediate_size", 2880},
          {"max_position_embeddings", 131072},
          {"num_attention_heads", 64},
          {"num_experts_per_tok", 4},
          {"num_hidden_layers", 24},
          {"num_key_value_heads", 8},
          {"num_local_experts", 32},
          {"output_router_logits", false},
          {"pad_token_id", 199999},
          {"quantization_config", {{"quant_method", "mxfp4"}}},
          {"rms_norm_eps", 1e-5},
          {"rope_scaling",
           {{"beta_fast", 32.0},
            {"beta_slow", 1.0},
            {"factor", 32.0},
            {"original_max_position_embeddings", 4096},
            {"rope_type", "yarn"},
            {"truncate", false}}},
          {"rope_theta", 150000},
          {"router_aux_loss_coef", 0.9},
          {"sliding_window", 128},
          {"swiglu_limit", 7.0},
          {"tie_word_embeddings", false},
          {"vocab_size", 201088}};
}

CausalDecoder read(const Json& config) { return GptOss::read(ConfigReader(config, "config.json")); }

}  // namespace

TEST_CASE("the published 20B configuration has 20,914,757,184 parameters, and windows in every other layer") {
  const CausalDecoder d = read(published());
  Extent parameters = 0;
  for (const TensorRow& row : d.tensors().rows) {
    Extent elements = 1;
    for (const Extent extent : row.stored_shape()) elements *= extent;
    parameters += elements;
  }
  CHECK(parameters == 20'914'757'184);
  CHECK(d.window == 128);
  CHECK(std::ranges::count(d.windowed_layers, true) == 12);
  CHECK(d.windowed_layers[0]);
  CHECK_FALSE(d.windowed_layers[1]);
  CHECK(d.experts.fused == ClampedGate{.slope = 1.702, .limit = 7});
  CHECK(d.experts.normalised);
  CHECK(d.padding_row == 199999);
}

TEST_CASE("files have experts as (experts, in, out), and the graph as rows of outputs") {
  const TensorTable table = read(published()).tensors();
  const TensorRow* row = table.find("model.layers.3.mlp.experts.down_proj");
  REQUIRE(row != nullptr);
  CHECK(row->shape == ParameterShape{32 * 2880, 2880});
  CHECK(row->stored_shape() == ParameterShape{32, 2880, 2880});
  CHECK(table.find("model.layers.3.mlp.experts.gate_up_proj")->stored_shape() == ParameterShape{32, 2880, 5760});
  CHECK(table.find("model.layers.3.mlp.experts.gate_up_proj_bias")->stored_shape() == ParameterShape{32, 5760});
  CHECK(table.find("model.layers.3.self_attn.sinks")->shape == ParameterShape{64});
  CHECK(table.find("model.norm.weight")->kept_in_float32);
  CHECK_FALSE(table.find("lm_head.weight")->kept_in_float32);
}

TEST_CASE("without a word on rotary scaling it is the published one, as in transformers") {
  Json config = published();
  const CausalDecoder full = read(config);
  CHECK(full.rotaries.front().amplitude == doctest::Approx(0.1 * std::log(32.0) + 1));
  config.erase("rope_scaling");
  CHECK(read(config).rotaries == full.rotaries);
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 150000.0}};
  CHECK(read(config).rotaries.front().scaling.kind == RotaryScaling::Kind::none);
}

TEST_CASE("a limit of the gate that is none is refused by name") {
  Json config = published();
  config["swiglu_limit"] = 0;
  CHECK(has(error_of<ConfigError>([&] { read(config); }), "\"swiglu_limit\": expected a positive number, got 0"));
  config["swiglu_limit"] = 7;
  config["output_router_logits"] = true;
  CHECK(has(error_of<ConfigError>([&] { read(config); }), "\"output_router_logits\""));
}
