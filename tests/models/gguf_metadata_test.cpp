#include "greentrainer/models/gguf_metadata.hpp"

#include <doctest/doctest.h>

#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/gguf.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/models/architectures.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

CausalDecoder decoder_of(const Json& config) {
  CausalDecoder decoder;
  KnownArchitectures::read(ConfigReader(config, "config.json"), [&](const auto& described) {
    if constexpr (requires { described.rotaries; }) decoder = described;
  });
  return decoder;
}

Json golden_config(const std::string& name) {
  return read_json_file(source_folder() / "tests/golden/gguf" / (name + ".json")).at("config");
}

/// The error for a golden model's config.json with other fields.
std::string error_with(const std::string& name, const Json& fields) {
  Json config = golden_config(name);
  config.update(fields);
  return error_of<ConfigError>([&] { gguf_model(decoder_of(config), "config.json"); });
}

}  // namespace

TEST_CASE("metadata are those of llama.cpp's converter, for every architecture") {
  for (const char* name : {"llama3", "qwen2", "qwen3", "gpt2", "gemma3", "phi3", "stablelm", "starcoder2"}) {
    CAPTURE(name);
    const GgufModel model = gguf_model(decoder_of(golden_config(name)), "config.json");
    const GgufFile file(source_folder() / "tests/golden/gguf" / text(name, ".gguf"));
    CHECK(file.metadata().at("general.architecture") == model.architecture);
    Json ours = gguf_metadata_json(model.metadata);
    for (const auto& [key, value] : file.metadata().items()) {
      CAPTURE(key);
      if (!key.starts_with(model.architecture + ".")) continue;
      // The size of heads that follows from the width need not be said.
      const bool follows = key.ends_with(".key_length") || key.ends_with(".value_length");
      const bool original = key.ends_with("original_context_length");  // of scaling that is not there
      if (ours.contains(key) || (!follows && !original)) CHECK(ours[key] == value);
      ours.erase(key);
    }
    CHECK_MESSAGE(ours.empty(), ours.dump());
    for (const TensorRow& row : model.decoder.tensors().rows) CHECK(file.contains(row.gguf.name));
    CHECK(model.factors.empty() != file.contains("rope_freqs.weight"));
    std::vector<float> factors(model.factors.size());
    if (!factors.empty()) file.read_part_as("rope_freqs.weight", 0, std::span(factors));
    for (std::size_t i = 0; i < factors.size(); ++i)
      CHECK(model.factors[i] == doctest::Approx(factors[i]).epsilon(1e-6));
  }
}

TEST_CASE("what metadata cannot say is refused by name") {
  CHECK(has(error_with("qwen2", {{"use_sliding_window", true}, {"sliding_window", 16}, {"max_window_layers", 0}}),
            "config.json: expected a model that the metadata of architecture qwen2 can describe, got one that they "
            "cannot, by what is read from them: window of attention: 16 and 0"));
  CHECK(has(error_with("starcoder2", {{"sliding_window", 4}}), "window of attention: 4 and 0"));
  const Json scaled = {{"rope_parameters",
                        {{"rope_type", "llama3"},
                         {"rope_theta", 500000.0},
                         {"factor", 8.0},
                         {"low_freq_factor", 1.0},
                         {"high_freq_factor", 2.0},
                         {"original_max_position_embeddings", 8192}}}};
  CHECK(has(error_with("llama3", scaled), "expected Llama 3's factors"));
  CHECK(has(error_with("gemma3", {{"query_pre_attn_scalar", 9}}), "scale of attention's scores"));
  CHECK(has(error_with("gemma3",
                       {{"layer_types", {"full_attention", "sliding_attention", "full_attention", "full_attention"}},
                        {"num_hidden_layers", 4}}),
            "window of attention"));
  CHECK(error_with("qwen3", {{"rms_norm_eps", 1e-6}}) == "");
}

TEST_CASE("a model type without an architecture of GGUF's is refused, and the list says which have one") {
  const Json config = read_json_file(source_folder() / "tests/golden/architectures/olmo2/config.json");
  CHECK(has(error_of<ConfigError>([&] { gguf_model(decoder_of(config), "config.json"); }),
            "config.json, field \"model_type\": expected one that GGUF files are written of (gemma3_text, gpt2, llama, "
            "mistral, phi3, qwen2, qwen3, stablelm, starcoder2), got olmo2"));
}

TEST_CASE("Mistral without a window is the architecture llama, its rotary rows in pairs; with one it is refused") {
  Json config = read_json_file(source_folder() / "tests/golden/architectures/mistral/config.json");
  config["sliding_window"] = nullptr;
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 10000.0}};
  const GgufModel model = gguf_model(decoder_of(config), "config.json");
  CHECK(model.architecture == "llama");
  CHECK(model.decoder.tensors().find("model.layers.0.self_attn.q_proj.weight")->gguf.rotary_heads > 0);
  config["sliding_window"] = 3;
  CHECK(has(error_of<ConfigError>([&] { gguf_model(decoder_of(config), "config.json"); }), "window of attention: 3"));
}

TEST_CASE("two decoders differ by the member that is named first, and a decoder not from itself") {
  const CausalDecoder one = decoder_of(golden_config("qwen2"));
  CHECK_FALSE(difference_between(one, one));
  const auto difference = [&](const auto& change) {
    CausalDecoder other = one;
    change(other);
    return difference_between(one, other).value_or("none");
  };
  CHECK(has(difference([](CausalDecoder& d) { d.hidden_size += 1; }), "hidden_size"));
  CHECK(has(difference([](CausalDecoder& d) { d.qkv_bias = false; }),
            "bias of queries, keys and values: true and false"));
  CHECK(has(difference([](CausalDecoder& d) { d.rotaries[0].theta *= 2; }), "rotary embedding"));
  CHECK(has(difference([](CausalDecoder& d) { d.rotary_of_layer.assign(64, -1); }), "layers with a rotary embedding"));
  CHECK(has(difference([](CausalDecoder& d) { d.logit_scale = 2; }), "scale of logits: 1 and 2"));
  CHECK(difference([](CausalDecoder& d) { d.norm.epsilon *= 1 + 1e-9; }) == "none");
}
