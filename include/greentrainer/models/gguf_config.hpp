#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/gguf.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// What a GGUF file says of a model: its metadata, and those facts of its tensors that a configuration follows from.
struct GgufFacts {
  std::string source = {};  ///< the file, for errors
  Json metadata = {};
  std::map<std::string, std::vector<Extent>, std::less<>> shapes = {};  ///< of all tensors, by name
  std::vector<float> rotary_factors = {};                               ///< the numbers of rope_freqs.weight, if any
};

namespace detail {

inline constexpr std::string_view gguf_rotary_factors = "rope_freqs.weight";

/// Llama 3's scaled frequencies stand in a GGUF file as factors, not as the four numbers that they come from. Those of
/// all published models but the first are the same three and the largest factor.
struct GgufRotaryFactors {
  static constexpr double low = 1, high = 4, original = 8192;

  /// Of each pair of `columns` columns: what its wave becomes longer by.
  static std::vector<double> of(double theta, double factor, std::size_t columns) {
    std::vector<double> factors(columns / 2);
    for (std::size_t i = 0; i < factors.size(); ++i) {
      const double turns = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(columns));
      const double length = 2 * std::numbers::pi / turns;
      const double smooth = std::clamp((original / length - low) / (high - low), 0.0, 1.0);
      factors[i] = 1 / ((1 - smooth) / factor + smooth);
    }
    return factors;
  }
};

/// Makes config.json of a GGUF file's metadata. Every key of the architecture must be read: one that is not may change
/// the mathematics.
class GgufConfig {
 public:
  explicit GgufConfig(GgufFacts facts)
      : facts_(std::move(facts)),
        keys_(std::move(facts_.metadata), facts_.source),
        name_(keys_.get<std::string>("general.architecture")) {
    keys_.expect_value("general.type", "model");
    keys_.expect_value("split.count", 1);
  }

  Json json() {
    using Read = void (GgufConfig::*)();
    constexpr auto known = std::to_array<std::pair<std::string_view, Read>>({{"gemma3", &GgufConfig::gemma3},
                                                                             {"gpt2", &GgufConfig::gpt2},
                                                                             {"llama", &GgufConfig::llama},
                                                                             {"phi3", &GgufConfig::phi3},
                                                                             {"qwen2", &GgufConfig::qwen2},
                                                                             {"qwen3", &GgufConfig::qwen3},
                                                                             {"stablelm", &GgufConfig::stablelm},
                                                                             {"starcoder2", &GgufConfig::starcoder2}});
    const auto found = std::ranges::find(known, name_, &std::pair<std::string_view, Read>::first);
    if (found == known.end()) {
      std::string names;
      for (const auto& [name, read] : known) names += (names.empty() ? "" : ", ") + std::string(name);
      refuse("general.architecture", text("expected one of ", names, ", got ", name_));
    }
    (this->*found->second)();
    for (const std::string& key : keys_.unread()) {
      if (key.starts_with(name_ + "."))
        refuse(key,
               "expected a key whose meaning is known for this architecture, got an unknown one; it may change "
               "the mathematics, so it is not ignored");
    }
    return std::move(config_);
  }

 private:
  void llama() {
    decoder("llama", "LlamaForCausalLM");
    rms_norm();
    rotary();
    config_["hidden_act"] = "silu";
    config_["attention_bias"] = has("blk.0.attn_q.bias");
    config_["mlp_bias"] = has("blk.0.ffn_gate.bias");
    off("expert_count");
    off("expert_used_count");
  }
  void qwen2() {
    decoder("qwen2", "Qwen2ForCausalLM");
    rms_norm();
    rotary();
    config_["hidden_act"] = "silu";
    config_["use_sliding_window"] = false;
  }
  void qwen3() {
    decoder("qwen3", "Qwen3ForCausalLM");
    rms_norm();
    rotary();
    config_["hidden_act"] = "silu";
    config_["attention_bias"] = has("blk.0.attn_q.bias");
    config_["use_sliding_window"] = false;
  }
  void gemma3() {
    decoder("gemma3_text", "Gemma3ForCausalLM");
    rms_norm();
    rotary();
    config_["hidden_activation"] = "gelu_pytorch_tanh";
    config_["rope_local_base_freq"] = keys_.get_or<double>(key("rope.freq_base_swa"), 10000);
    config_["sliding_window"] = keys_.positive(key("attention.sliding_window"));
    const Extent layers = config_["num_hidden_layers"].get<Extent>();
    const Extent period = keys_.positive_or(key("attention.sliding_window_pattern"), 6);
    for (Extent i = 1; i <= layers; ++i)
      config_["layer_types"].push_back(i % period == 0 ? "full_attention" : "sliding_attention");
    // No key has it; as llama.cpp infers it, by the number of layers of the model of 27 G parameters.
    const Extent heads = config_["num_attention_heads"].get<Extent>();
    config_["query_pre_attn_scalar"] = layers == 62 ? config_["hidden_size"].get<Extent>() / heads : head_dim_;
  }
  void phi3() {
    decoder("phi3", "Phi3ForCausalLM");
    rms_norm();
    const Extent original = keys_.positive_or(key("rope.scaling.original_context_length"), positions());
    config_["original_max_position_embeddings"] = original;
    rotary(true);
    config_["hidden_act"] = "silu";
    if (const auto window = positive("attention.sliding_window")) config_["sliding_window"] = *window;
  }
  void starcoder2() {
    decoder("starcoder2", "Starcoder2ForCausalLM");
    config_["norm_epsilon"] = keys_.get<double>(key("attention.layer_norm_epsilon"));
    rotary();
    config_["hidden_act"] = "gelu_pytorch_tanh";
    config_["use_bias"] = has("blk.0.attn_q.bias");
  }
  void stablelm() {
    decoder("stablelm", "StableLmForCausalLM");
    config_["layer_norm_eps"] = keys_.get<double>(key("attention.layer_norm_epsilon"));
    rotary(true);
    config_["hidden_act"] = "silu";
    config_["use_qkv_bias"] = has("blk.0.attn_q.bias");
    // Of this and the norm in front of a feed-forward, files have one that says it.
    config_["use_parallel_residual"] = keys_.get_or<bool>(key("use_parallel_residual"), !has("blk.0.ffn_norm.weight"));
  }
  void gpt2() {
    common("gpt2", "GPT2LMHeadModel");
    config_["n_embd"] = keys_.positive(key("embedding_length"));
    config_["n_layer"] = keys_.positive(key("block_count"));
    config_["n_head"] = keys_.positive(key("attention.head_count"));
    config_["n_inner"] = keys_.positive(key("feed_forward_length"));
    config_["n_positions"] = positions();
    config_["layer_norm_epsilon"] = keys_.get<double>(key("attention.layer_norm_epsilon"));
    config_["activation_function"] = "gelu_new";
    // Some files repeat the embedding as a head.
    config_["tie_word_embeddings"] = true;
  }

  void common(const char* model_type, const char* class_name) {
    config_["model_type"] = model_type;
    config_["architectures"] = {class_name};
    config_["torch_dtype"] = "float32";
    config_["tie_word_embeddings"] = !has("output.weight");
    vocabulary();
    for (const auto& [role, field] :
         {std::pair{"bos", "bos_token_id"}, std::pair{"eos", "eos_token_id"}, std::pair{"padding", "pad_token_id"}}) {
      const std::string id = text("tokenizer.ggml.", role, "_token_id");
      if (keys_.has(id)) config_[field] = keys_.get<Extent>(id);
    }
  }
  void decoder(const char* model_type, const char* class_name) {
    common(model_type, class_name);
    config_["hidden_size"] = keys_.positive(key("embedding_length"));
    config_["num_hidden_layers"] = keys_.positive(key("block_count"));
    config_["intermediate_size"] = keys_.positive(key("feed_forward_length"));
    config_["max_position_embeddings"] = positions();
    const Extent heads = keys_.positive(key("attention.head_count"));
    config_["num_attention_heads"] = heads;
    config_["num_key_value_heads"] = keys_.positive_or(key("attention.head_count_kv"), heads);
    head_dim_ = keys_.positive_or(key("attention.key_length"), config_["hidden_size"].get<Extent>() / heads);
    keys_.expect_value(key("attention.value_length"), head_dim_);
    config_["head_dim"] = head_dim_;
  }

  void vocabulary() {
    constexpr std::string_view embedding = "token_embd.weight";
    const auto found = facts_.shapes.find(embedding);
    if (found == facts_.shapes.end())
      fail(embedding, text("expected it in the file, got ", facts_.shapes.size(), " others"));
    const Extent rows = found->second.front();
    keys_.expect_value(key("vocab_size"), rows);
    config_["vocab_size"] = rows;
  }
  Extent positions() const { return keys_.positive(key("context_length")); }
  void rms_norm() { config_["rms_norm_eps"] = keys_.get<double>(key("attention.layer_norm_rms_epsilon")); }

  /// `share`: the architecture may turn some of a head's columns alone.
  void rotary(bool share = false) {
    const double theta = keys_.get_or<double>(key("rope.freq_base"), 10000);
    config_["rope_theta"] = theta;
    const Extent turned = keys_.positive_or(key("rope.dimension_count"), head_dim_);
    if (share)
      config_["partial_rotary_factor"] = static_cast<double>(turned) / static_cast<double>(head_dim_);
    else
      keys_.expect_value(key("rope.dimension_count"), head_dim_);
    if (has(gguf_rotary_factors)) {
      config_["rope_scaling"] = llama3_scaling(theta);
      return;
    }
    const auto type = keys_.get_or<std::string>(key("rope.scaling.type"), "none");
    if (type == "none") return;
    config_["rope_scaling"] = {{"rope_type", type}, {"factor", keys_.get<double>(key("rope.scaling.factor"))}};
    if (type == "linear") return;
    if (type != "yarn")
      refuse(key("rope.scaling.type"), text("expected none, linear or yarn, got ", type, ", which is not supported"));
    config_["rope_scaling"]["original_max_position_embeddings"] =
        keys_.positive(key("rope.scaling.original_context_length"));
    keys_.ignore({key("rope.scaling.finetuned")});
  }

  /// Throws unless the factors are those of the four numbers.
  Json llama3_scaling(double theta) const {
    using Factors = GgufRotaryFactors;
    const std::vector<float>& given = facts_.rotary_factors;
    if (given.size() != static_cast<std::size_t>(head_dim_ / 2))
      fail(gguf_rotary_factors, text("expected ", head_dim_ / 2, " factors, got ", given.size()));
    const double factor = std::ranges::max(given);
    const std::vector<double> expected = Factors::of(theta, factor, static_cast<std::size_t>(head_dim_));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (std::abs(given[i] - expected[i]) <= 1e-4 * expected[i]) continue;
      fail(gguf_rotary_factors, text("expected Llama 3's factors, ", expected[i], " at element ", i, ", got ", given[i],
                                     "; others are not supported"));
    }
    return {{"rope_type", "llama3"},
            {"factor", factor},
            {"low_freq_factor", Factors::low},
            {"high_freq_factor", Factors::high},
            {"original_max_position_embeddings", static_cast<Extent>(Factors::original)}};
  }

  /// A key that may say 0 for what is not supported.
  void off(const char* name) { keys_.expect_value(key(name), 0); }
  std::optional<Extent> positive(const char* name) const {
    return keys_.has(key(name)) ? std::optional(keys_.positive(key(name))) : std::nullopt;
  }

  std::string key(std::string_view name) const { return text(name_, '.', name); }
  bool has(std::string_view tensor) const { return facts_.shapes.contains(tensor); }
  [[noreturn]] void refuse(const std::string& key, const std::string& what) const {
    throw ConfigError("gguf", text(keys_.source(), ", metadata ", key), what);
  }
  [[noreturn]] void fail(std::string_view tensor, const std::string& what) const {
    throw LoadError("gguf", text(keys_.source(), ", tensor ", tensor), what);
  }

  GgufFacts facts_;
  ConfigReader keys_;
  std::string name_;
  Extent head_dim_ = 0;
  Json config_ = Json::object();
};

}  // namespace detail

/// The config.json that a GGUF file's metadata stand for. Weights are float32, as transformers loads such files. Throws
/// ConfigError or LoadError naming file and key: an architecture that is not known, and what of its metadata cannot be
/// followed.
inline Json gguf_config(GgufFacts facts) { return detail::GgufConfig(std::move(facts)).json(); }

inline Json gguf_config(const GgufFile& file) {
  GgufFacts facts{.source = file.path().string(), .metadata = file.metadata()};
  for (const TensorInfo& tensor : file.tensors()) facts.shapes.emplace(tensor.name, tensor.shape);
  constexpr std::string_view factors = detail::gguf_rotary_factors;
  constexpr std::size_t most = std::size_t{1} << 20;  // of pairs of columns, in whole blocks of any format
  if (file.contains(factors)) {
    facts.rotary_factors.resize(std::min(most, static_cast<std::size_t>(file.info(factors).elements())));
    file.read_part_as(factors, 0, std::span(facts.rotary_factors));
  }
  return gguf_config(std::move(facts));
}

}  // namespace greentrainer
