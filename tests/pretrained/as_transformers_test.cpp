// Folders that say one thing in config.json and another in their tensors are loaded as transformers 5.24 loads them.
// Losses are what it computes for the texts of each golden model.

#include <algorithm>
#include <functional>
#include <map>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "greentrainer/train/evaluation.hpp"
#include "support/golden_model.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;

namespace {

using B = CountingBackend<EigenBackend<float>>;

/// A golden model's folder with another config.json, and other tensors, in float32.
struct Variant {
  explicit Variant(const std::string& model) : golden(model) {
    config = read_json_file(golden.folder / "config.json");
    const SafetensorsFile file(golden.folder / "model.safetensors");
    for (const TensorInfo& info : file.tensors()) {
      Values& t = tensors[info.name];
      t.shape = info.shape;
      t.numbers.resize(static_cast<std::size_t>(info.elements()));
      file.read_as<float>(info.name, t.numbers);
    }
  }
  void rename(const std::string& from, const std::string& to) {
    tensors[to] = tensors.at(from);
    tensors.erase(from);
  }
  /// As the base model's class saves it: without the prefix that the model with a head puts in front.
  void drop_prefix(const std::string& prefix) {
    std::map<std::string, Values> shorter;
    for (auto& [name, values] : tensors) shorter[name.starts_with(prefix) ? name.substr(prefix.size()) : name] = values;
    tensors = shorter;
  }
  /// A table with the rows of another in reverse order.
  void add_reversed(const std::string& from, const std::string& to) {
    Values t = tensors.at(from);
    const auto width = t.shape[1];
    for (Extent r = 0; r < t.shape[0]; ++r)
      std::copy_n(tensors.at(from).numbers.begin() + (t.shape[0] - 1 - r) * width, width,
                  t.numbers.begin() + r * width);
    tensors[to] = t;
  }
  void write() const {
    folder.write("config.json", config.dump());
    std::vector<TensorToWrite> list;
    for (const auto& [name, t] : tensors)
      list.push_back(TensorToWrite::values_of(name, t.dtype, t.shape, std::span<const float>(t.numbers)));
    for (const auto& [name, info] : masks) {
      const auto elements = info.second.size() / safetensors_element_size(info.first).value();
      list.push_back({name, info.first, {static_cast<Extent>(elements)}, [&bytes = info.second](const ByteSink& sink) {
                        sink(bytes);
                      }});
    }
    write_safetensors(folder / "model.safetensors", list);
  }
  double loss() const {
    write();
    B backend(1);
    auto model = load_pretrained(folder.path(), backend);
    return evaluate(model, golden.examples).loss;
  }
  std::string error() const {
    try {
      loss();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  double golden_loss() const { return golden.json.at("loss").get<double>(); }

  struct Values {
    DType dtype = DType::float32;
    std::vector<Extent> shape;
    std::vector<float> numbers;
  };
  testing::GoldenModel golden;
  Json config;
  std::map<std::string, Values> tensors;
  std::map<std::string, std::pair<std::string, std::vector<std::byte>>> masks;  ///< element type and bytes
  testing::TemporaryFolder folder;
};

doctest::Approx near(double loss) { return doctest::Approx(loss).epsilon(1e-6); }

}  // namespace

TEST_CASE("a tied pair: either name alone, both equal, and both with values of their own") {
  struct Case {
    std::string model, prefix, embedding;
    double own_head;  // with the embedding's rows in reverse order as the head
  };
  for (const Case& c : {Case{"llama-gqa-tied", "model.", "model.embed_tokens.weight", 5.062335},
                        Case{"opt-pre", "model.", "model.decoder.embed_tokens.weight", 4.949734},
                        Case{"bloom", "transformer.", "transformer.word_embeddings.weight", 4.705849},
                        Case{"t5-tied-relu", "nothing.", "shared.weight", 4.597172}}) {
    CAPTURE(c.model);
    Variant head_alone(c.model);
    head_alone.rename(c.embedding, "lm_head.weight");
    CHECK(head_alone.loss() == near(head_alone.golden_loss()));
    head_alone.drop_prefix(c.prefix);
    CHECK(head_alone.loss() == near(head_alone.golden_loss()));

    Variant equal(c.model);
    equal.tensors["lm_head.weight"] = equal.tensors.at(c.embedding);
    CHECK(equal.loss() == near(equal.golden_loss()));
    equal.tensors["lm_head.weight"].dtype = DType::float64;  // the same numbers in another type
    CHECK(equal.loss() == near(equal.golden_loss()));

    Variant own(c.model);
    own.add_reversed(c.embedding, "lm_head.weight");
    CHECK(own.loss() == doctest::Approx(c.own_head).epsilon(1e-6));
    own.drop_prefix(c.prefix);
    CHECK(own.loss() == doctest::Approx(c.own_head).epsilon(1e-6));
  }
}

TEST_CASE("what is saved of a tied pair is the same model again: one tensor under the name it had, or both") {
  B backend(1);
  for (const bool own_head : {false, true}) {
    CAPTURE(own_head);
    Variant variant("llama-gqa-tied");
    if (own_head)
      variant.add_reversed("model.embed_tokens.weight", "lm_head.weight");
    else
      variant.rename("model.embed_tokens.weight", "lm_head.weight");
    const double loss = variant.loss();
    auto model = load_pretrained(variant.folder.path(), backend);
    const ParameterId table = *model.graph().find("model.embed_tokens.weight");
    auto weights = model.parameters()[table].download();
    for (float& w : weights) w *= 1.5F;
    model.parameters()[table].upload(weights);
    const double changed = evaluate(model, variant.golden.examples).loss;
    CHECK(changed != near(loss));
    const testing::TemporaryFolder scratch;
    save_pretrained(model, scratch / "out");
    const SafetensorsFile saved(scratch / "out/model.safetensors");
    CHECK(saved.contains("lm_head.weight"));
    CHECK(saved.contains("model.embed_tokens.weight") == own_head);
    auto again = load_pretrained(scratch / "out", backend);
    CHECK(evaluate(again, variant.golden.examples).loss == changed);
  }
}

TEST_CASE("T5: the file decides whether the head is tied, config.json whether its input is scaled") {
  struct Case {
    std::string model;
    Json tie, scale;  // discarded: no such field
    double loss;
  };
  const Json none(Json::value_t::discarded);
  for (const Case& c : {Case{"t5-tied-gated", true, false, 4.669834}, Case{"t5-tied-gated", false, false, 4.669834},
                        Case{"t5-tied-gated", false, none, 4.669834}, Case{"t5-tied-gated", none, nullptr, 4.669834},
                        Case{"t5-tied-gated", nullptr, none, 4.551621}, Case{"t5-tied-gated", false, true, 4.551621},
                        Case{"t5-untied-gated", true, none, 4.604656}, Case{"t5-untied-gated", true, false, 4.870996},
                        Case{"t5-untied-gated", none, none, 4.604656}, Case{"t5-untied-gated", false, true, 4.604656},
                        Case{"t5-untied-gated", false, none, 4.870996}}) {
    Variant variant(c.model);
    const std::vector<std::pair<const char*, Json>> fields = {{"tie_word_embeddings", c.tie},
                                                              {"scale_decoder_outputs", c.scale}};
    for (const auto& [field, value] : fields) {
      variant.config.erase(field);
      if (!value.is_discarded()) variant.config[field] = value;
    }
    CAPTURE(variant.config);
    CHECK(variant.loss() == doctest::Approx(c.loss).epsilon(1e-6));
  }
  for (const std::string name : {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}) {
    CAPTURE(name);
    Variant variant("t5-tied-relu");
    variant.rename("shared.weight", name);
    CHECK(variant.loss() == near(variant.golden_loss()));
    variant.add_reversed(name, "lm_head.weight");
    CHECK(variant.loss() == doctest::Approx(4.597172).epsilon(1e-6));
  }
  Variant equal("t5-tied-relu");
  equal.tensors["lm_head.weight"] = equal.tensors.at("shared.weight");
  equal.config["tie_word_embeddings"] = false;
  CHECK(equal.loss() == doctest::Approx(4.659910).epsilon(1e-6));
}

TEST_CASE("weights have the element type that config.json names, or else the alphabetically first tensor's") {
  Variant variant("llama-mha-untied");
  variant.config.erase("torch_dtype");
  const auto loss_of = [&](const char* field, const Json& value) {
    Variant copy("llama-mha-untied");
    copy.config.erase("torch_dtype");
    copy.config[field] = value;
    return copy.loss();
  };
  CHECK(loss_of("dtype", "bfloat16") == near(4.542297226743263));
  CHECK(loss_of("torch_dtype", "bfloat16") == near(4.542297226743263));
  CHECK(loss_of("dtype", "float16") == near(4.542771104720169));
  CHECK(loss_of("dtype", nullptr) == near(4.542742527472469));
  variant.config["torch_dtype"] = "bfloat16";
  variant.config["dtype"] = "float32";
  CHECK(variant.loss() == near(4.542742527472469));
  variant.config["dtype"] = "int8";
  CHECK(testing::has(variant.error(), "\"dtype\": expected float64, float32, float16 or bfloat16, got int8"));

  variant.config.erase("dtype");
  variant.config.erase("torch_dtype");
  for (auto& [name, t] : variant.tensors)
    t.dtype = name == variant.tensors.begin()->first ? DType::bfloat16 : DType::float32;
  CHECK(variant.loss() == near(4.542297226743263));  // the first is bfloat16, so all are
  for (auto& [name, t] : variant.tensors)
    t.dtype = name == variant.tensors.begin()->first ? DType::float32 : DType::bfloat16;
  CHECK(variant.loss() == near(4.541640854559265));

  variant.config["dtype"] = "float16";
  auto& norm = variant.tensors.at("model.norm.weight");
  norm.dtype = DType::float32;
  norm.numbers[3] = 1e5F;
  CHECK(testing::has(variant.error(), "model.norm.weight: expected finite weights of float16, got inf at element 3"));
  Variant t5("t5-tied-relu");  // whose wo stays float32
  t5.config["torch_dtype"] = "float16";
  t5.tensors.at("encoder.block.0.layer.1.DenseReluDense.wo.weight").numbers[0] = 1e5F;
  CHECK(t5.error().empty());
}

TEST_CASE("rope_scaling stands before rope_parameters, and that before rope_theta") {
  const Json scaled = {{"rope_type", "llama3"},  {"rope_theta", 500.0},     {"factor", 8.0},
                       {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 16}};
  const auto loss_with = [](const Json& scaling, const Json& parameters, const Json& theta) {
    Variant variant("llama-mha-untied");
    variant.config.erase("rope_theta");
    if (!scaling.is_discarded()) variant.config["rope_scaling"] = scaling;
    if (!parameters.is_discarded()) variant.config["rope_parameters"] = parameters;
    if (!theta.is_discarded()) variant.config["rope_theta"] = theta;
    return variant.error().empty() ? variant.loss() : 0;
  };
  const Json none(Json::value_t::discarded);
  const auto about = [](double loss) { return doctest::Approx(loss).epsilon(1e-6); };
  CHECK(loss_with({{"rope_type", "default"}}, {{"rope_type", "default"}, {"rope_theta", 500.0}}, none) ==
        about(4.542743));
  CHECK(loss_with({{"type", "default"}}, scaled, 300.0) == about(4.569645));
  CHECK(loss_with(Json::object(), {{"rope_theta", 500.0}}, 300.0) == about(4.569253));
  CHECK(loss_with(none, {{"rope_theta", 500.0}}, 300.0) == about(4.569253));
  CHECK(loss_with({{"rope_type", "default"}, {"type", "linear"}, {"rope_theta", 700.0}}, none, 300.0) ==
        about(4.567677));
  CHECK(loss_with(none, {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}, 300.0) == about(4.569645));
  CHECK(loss_with(scaled, {{"rope_type", "default"}}, 300.0) == about(4.572311));
  CHECK(loss_with(none, scaled, none) == about(4.572311));
  CHECK(loss_with({{"type", "linear"}, {"factor", 4.0}}, none, 300.0) == about(4.654363));
  CHECK(loss_with({{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 8}}, none, 300.0) ==
        about(4.530371));
  CHECK(loss_with({{"rope_type", "longrope"}, {"factor", 4.0}}, none, 300.0) == 0);  // refused
}

TEST_CASE("tensors that are no weights are passed over: masks, indices, and what transformers does not read") {
  Variant llama("llama-gqa-tied");
  llama.masks["model.layers.0.self_attn.mask"] = {"BOOL", std::vector<std::byte>(5, std::byte{1})};
  llama.masks["model.layers.0.self_attn.bias"] = {"U8", std::vector<std::byte>(5, std::byte{1})};
  llama.masks["model.position_ids"] = {"I64", std::vector<std::byte>(8)};
  llama.tensors["model.layers.1.self_attn.rotary_emb.inv_freq"] = {DType::float32, {4}, {1, 0.1F, 0.01F, 0.001F}};
  CHECK(llama.loss() == near(llama.golden_loss()));
  llama.masks["model.codes"] = {"F8_E4M3", std::vector<std::byte>(5)};
  CHECK(testing::has(llama.error(), "tensor model.codes: expected a tensor of this architecture"));

  Variant t5("t5-tied-relu");
  const std::string unread = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
  t5.tensors[unread] = {DType::float32, {8, 3}, std::vector<float>(24, 1)};
  CHECK(t5.loss() == near(t5.golden_loss()));
  Variant bloom("bloom");
  bloom.tensors["transformer.h.0.rotary_emb.inv_freq"] = {DType::float32, {1}, {1}};  // it has no such table
  CHECK(testing::has(bloom.error(), "inv_freq: expected a tensor of this architecture"));
}

TEST_CASE("fields of config.json that change nothing are accepted, unknown ones are not") {
  const std::vector<std::pair<const char*, Json>> harmless = {{"layer_types", {"full_attention", "full_attention"}},
                                                              {"num_logits_to_keep", 3},
                                                              {"model_max_length", 5},
                                                              {"unsloth_version", "2026.1"},
                                                              {"unsloth_fixed", true},
                                                              {"partial_rotary_factor", 0.5},
                                                              {"eta_cutoff", 0.0},
                                                              {"unknown_and_null", nullptr}};
  for (const auto& [field, value] : harmless) {
    CAPTURE(field);
    Variant variant("llama-mha-untied");
    variant.config[field] = value;
    CHECK(variant.loss() == near(variant.golden_loss()));
  }
  for (const auto& [field, value] : std::vector<std::pair<const char*, Json>>{
           {"layer_types", {"sliding_attention", "full_attention"}}, {"layer_types", 3}, {"unknown", 0}}) {
    Variant variant("llama-mha-untied");
    variant.config[field] = value;
    CHECK(testing::has(variant.error(), field));
  }
}

TEST_CASE("a config.json with larger matrices than the file's is refused before anything is allocated") {
  Variant variant("llama-mha-untied");
  variant.config["intermediate_size"] = 1 << 20;
  variant.write();
  B backend(1);
  CHECK_THROWS_WITH_AS(load_pretrained(variant.folder.path(), backend),
                       doctest::Contains("expected shape (1048576, 32), got (48, 32)"), LoadError);
  CHECK(backend.memory().allocations == 0);
}
