// Adapters are saved and loaded whole, merge into weights that do without them, and are refused by file and field or
// tensor where they are not sound.

#include <functional>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/load_adapter.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "greentrainer/train/evaluation.hpp"
#include "support/golden_adapter.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using greentrainer::testing::GoldenAdapter;

namespace {

using B = CountingBackend<EigenBackend<float>>;

std::vector<float> logits_of(Model<B>& model, const GoldenAdapter& golden) {
  const Batch batch = testing::batch_of(golden.examples);
  return model.logits(batch.decoder, batch.encoder);
}

/// A copy of a golden adapter that a test may damage, and what loading it then says.
struct Copy {
  explicit Copy(const std::string& name) : golden(name) {
    for (const char* file : {"adapter_config.json", "adapter_model.safetensors"})
      std::filesystem::copy(golden.folder / file, folder / file);
  }
  void change_config(const std::function<void(Json&)>& change) const {
    Json config = read_json_file(folder / "adapter_config.json");
    change(config);
    folder.write("adapter_config.json", config.dump());
  }
  void change_tensors(const std::function<void(std::vector<TensorToWrite>&)>& change) const {
    const SafetensorsFile original(golden.folder / "adapter_model.safetensors");
    std::vector<TensorToWrite> tensors;
    for (const auto& info : original.tensors())
      tensors.push_back(TensorToWrite::copy_of(info, original.raw(info.name)));
    change(tensors);
    write_safetensors(folder / "adapter_model.safetensors", tensors);
  }
  std::string error() const {
    B backend(1);
    try {
      load_pretrained_with_adapter(golden.base, folder.path(), backend);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
  GoldenAdapter golden;
  testing::TemporaryFolder folder;
};

void has(const std::string& error, std::initializer_list<const char*> parts) {
  CAPTURE(error);
  for (const char* part : parts) {
    CAPTURE(part);
    CHECK(error.find(part) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("a saved adapter comes back to the bit, and holds what peft's holds") {
  B backend(2);
  const testing::TemporaryFolder scratch;
  for (const std::string& name : testing::golden_adapter_names()) {
    CAPTURE(name);
    const GoldenAdapter golden(name);
    auto model = load_pretrained_with_adapter(golden.base, golden.folder, backend);
    save_adapter(model, scratch / name);
    auto again = load_pretrained_with_adapter(golden.base, scratch / name, backend);
    CHECK(logits_of(again, golden) == logits_of(model, golden));

    const SafetensorsFile theirs(golden.folder / "adapter_model.safetensors"),
        ours(scratch / name / "adapter_model.safetensors");
    CHECK(ours.tensors().size() == theirs.tensors().size());
    for (const TensorInfo& info : theirs.tensors()) {
      CAPTURE(info.name);
      REQUIRE(ours.contains(info.name));
      CHECK(ours.info(info.name).shape == info.shape);
      if (name != "t5-two-layers-prefix")
        CHECK(std::ranges::equal(ours.raw(info.name), theirs.raw(info.name)));  // of which half is read by nobody
    }
    for (const char* field : {"peft_type", "task_type", "r", "lora_alpha", "num_virtual_tokens", "num_layers",
                              "token_dim", "num_transformer_submodules"}) {
      CAPTURE(field);
      CHECK(read_json_file(scratch / name / "adapter_config.json").value(field, Json()) ==
            read_json_file(golden.folder / "adapter_config.json").value(field, Json()));
    }
  }
}

TEST_CASE(
    "merged weights compute without the adapter what they computed with it; other tensors are copied byte by byte") {
  B backend(2);
  const testing::TemporaryFolder scratch;
  for (const std::string name : {"opt-post-lora", "llama-gqa-tied-lora", "bloom-lora", "t5-untied-gated-lora"}) {
    CAPTURE(name);
    const GoldenAdapter golden(name);
    auto model = load_pretrained_with_adapter(golden.base, golden.folder, backend);
    save_pretrained(model, scratch / name);
    auto merged = load_pretrained(scratch / name, backend);
    CHECK(merged.graph().parameters().size() == load_pretrained(golden.base, backend).graph().parameters().size());
    CHECK(testing::relative_difference(logits_of(merged, golden), logits_of(model, golden)) < 1e-5);
    const SafetensorsFile before(golden.base / "model.safetensors"), after(scratch / name / "model.safetensors");
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      if (model.graph().parameter(id).is_adapter()) continue;
      const std::string& tensor = model.source_name(id);
      CAPTURE(tensor);
      CHECK(std::ranges::equal(before.raw(tensor), after.raw(tensor)) == !lora_of(model.graph(), id).has_value());
    }
  }
  const GoldenAdapter prefix("opt-pre-prefix");
  const auto model = load_pretrained_with_adapter(prefix.base, prefix.folder, backend);
  CHECK_THROWS_AS(save_pretrained(model, scratch / "prefix"), ConfigError);
  CHECK_FALSE(std::filesystem::exists(scratch / "prefix"));
}

TEST_CASE(
    "new LoRA matrices change nothing, are the same for a seed, and lie within peft's bounds; names that match nothing "
    "are refused") {
  B backend(1);
  const GoldenAdapter golden("llama-gqa-tied-lora");
  auto plain = load_pretrained(golden.base, backend);
  const GraphOptions options{.lora = LoraOptions{.rank = 4, .targets = {"*.layers.1.*_proj", "layers.0.mlp.up_proj"}}};
  auto model = load_pretrained(golden.base, backend, options, 3);
  CHECK(select_adapters(model.graph()).count() == 2 * (7 + 1));
  CHECK(logits_of(model, golden) == logits_of(plain, golden));
  const ParameterId a = *model.graph().find("base_model.model.model.layers.1.mlp.down_proj.lora_A.weight");
  const auto values = model.parameters()[a].download();
  const float bound = 1 / std::sqrt(48.0F);
  CHECK(std::ranges::all_of(values, [&](float v) { return std::abs(v) <= bound; }));
  CHECK(*std::ranges::max_element(values) > 0.9F * bound);
  CHECK(load_pretrained(golden.base, backend, options, 3).parameters()[a].download() == values);
  CHECK(load_pretrained(golden.base, backend, options, 4).parameters()[a].download() != values);

  const auto refused = [&](const GraphOptions& wrong) {
    try {
      load_pretrained(golden.base, backend, wrong);
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  has(refused({.lora = LoraOptions{.targets = {"q_proj", "w_proj"}}}), {"[lora] targets", "w_proj", "mlp.down_proj"});
  has(refused({.lora = LoraOptions{.rank = 0}}), {"lora.rank", "got 0"});
  has(refused({.lora = LoraOptions{.dropout = 1}}), {"lora.dropout", "got 1"});
  has(refused({.prefix_tokens = 64}), {"prefix_tokens", "64 positions"});
  has(refused({.dropout = -0.1}), {"dropout", "got -0.1"});
}

TEST_CASE("all-linear stands for as many layers as in peft: every linear one but the output head") {
  B backend(1);
  for (const auto& [name, layers] :
       {std::pair("opt-post", 14), std::pair("opt-pre", 12), std::pair("bloom", 8), std::pair("llama-gqa-tied", 14),
        std::pair("llama-mha-untied", 14), std::pair("t5-tied-relu", 42), std::pair("t5-untied-gated", 47)}) {
    CAPTURE(name);
    const auto model = load_pretrained(testing::source_folder() / "tests/golden/models" / name, backend,
                                       {.lora = LoraOptions{.rank = 2, .targets = {"all-linear"}}});
    CHECK(select_adapters(model.graph()).count() == static_cast<std::size_t>(2 * layers));
    testing::TemporaryFolder scratch;
    save_adapter(model, scratch / "adapter");
    const Json config = read_json_file(scratch / "adapter" / "adapter_config.json");
    CHECK(config["target_modules"].size() == static_cast<std::size_t>(layers));
    for (const Json& layer : config["target_modules"])
      CHECK(layer.get<std::string>().find("head") == std::string::npos);
  }
}

TEST_CASE("fields that change nothing once an adapter is trained are accepted, and RS-LoRA's scale is followed") {
  B backend(1);
  const auto loss_with = [&](const std::string& field, const Json& value) {
    const Copy copy("llama-gqa-tied-lora");
    copy.change_config([&](Json& config) { config[field] = value; });
    auto model = load_pretrained_with_adapter(copy.golden.base, copy.folder.path(), backend);
    return evaluate(model, copy.golden.examples).loss;
  };
  const double loss = loss_with("inference_mode", true);
  const std::vector<std::pair<const char*, Json>> harmless = {{"init_lora_weights", false},
                                                              {"init_lora_weights", nullptr},
                                                              {"init_lora_weights", "gaussian"},
                                                              {"init_lora_weights", "eva"},
                                                              {"init_lora_weights", "orthogonal"},
                                                              {"init_lora_weights", "lora_ga"},
                                                              {"init_lora_weights", "mica"},
                                                              {"target_modules", "all-linear"},
                                                              {"target_modules", ".*(q|v)_proj"},
                                                              {"layers_to_transform", {0, 1}},
                                                              {"layers_to_transform", Json::array()},
                                                              {"fan_in_fan_out", true},
                                                              {"exclude_modules", {"k_proj"}},
                                                              {"loftq_config", {{"loftq_bits", 4}}},
                                                              {"revision", "main"},
                                                              {"runtime_config", {{"ephemeral_gpu_offload", false}}},
                                                              {"rank_pattern", Json::object()},
                                                              {"modules_to_save", nullptr},
                                                              {"trainable_token_indices", nullptr},
                                                              {"lora_dropout", 0.5}};
  for (const auto& [field, value] : harmless) {
    CAPTURE(field);
    CAPTURE(value);
    CHECK(loss_with(field, value) == loss);
  }
  CHECK(loss_with("use_rslora", true) == doctest::Approx(4.803824903728819).epsilon(1e-6));  // peft 0.21.2
}

TEST_CASE("adapters that are not sound are refused by file and field or tensor") {
  SUBCASE("no file") {
    const Copy copy("bloom-lora");
    std::filesystem::remove(copy.folder / "adapter_model.safetensors");
    has(copy.error(), {"adapter_model.safetensors"});
  }
  SUBCASE("another kind") {
    const Copy copy("bloom-lora");
    copy.change_config([](Json& config) { config["peft_type"] = "IA3"; });
    has(copy.error(), {"adapter_config.json", "peft_type", "LORA or PREFIX_TUNING", "IA3"});
  }
  SUBCASE("mathematics that is not here") {
    const std::vector<std::pair<const char*, Json>> refused = {{"init_lora_weights", "pissa"},
                                                               {"init_lora_weights", "pissa_niter_4"},
                                                               {"init_lora_weights", "OLoRA"},
                                                               {"init_lora_weights", "corda"},
                                                               {"init_lora_weights", "loftq"},
                                                               {"init_lora_weights", "nonsense"},
                                                               {"init_lora_weights", 1},
                                                               {"rank_pattern", {{"query_key_value", 2}}},
                                                               {"alpha_pattern", {{"q", 2}}},
                                                               {"bias", "all"},
                                                               {"bias", "lora_only"},
                                                               {"use_dora", true},
                                                               {"lora_bias", true},
                                                               {"use_qalora", true},
                                                               {"modules_to_save", {"lm_head"}},
                                                               {"trainable_token_indices", {1}},
                                                               {"layer_replication", {{0, 2}, {1, 2}}},
                                                               {"alora_invocation_tokens", {7}},
                                                               {"target_parameters", {"mlp.weight"}},
                                                               {"ensure_weight_tying", true},
                                                               {"megatron_config", Json::object()},
                                                               {"kasa_config", Json::object()},
                                                               {"use_bdlora", Json::object()},
                                                               {"arrow_config", Json::object()},
                                                               {"monteclora_config", Json::object()},
                                                               {"velora_config", Json::object()},
                                                               {"something_new", true},
                                                               {"lora_alpha", nullptr},
                                                               {"target_modules", nullptr}};
    for (const auto& [field, value] : refused) {
      CAPTURE(field);
      CAPTURE(value);
      const Copy copy("bloom-lora");
      copy.change_config([&field = field, &value = value](Json& config) { config[field] = value; });
      has(copy.error(), {"adapter_config.json", field});
    }
  }
  SUBCASE("layers that peft would leave out") {
    const std::vector<std::pair<const char*, Json>> refused = {
        {"target_modules", {"q_proj"}},  {"target_modules", ".*q_proj"},      {"target_modules", {"proj", "_proj"}},
        {"exclude_modules", {"v_proj"}}, {"exclude_modules", ".*layers.1.*"}, {"layers_to_transform", {0}},
        {"layers_to_transform", 1}};
    for (const auto& [field, value] : refused) {
      CAPTURE(value);
      const Copy copy("llama-gqa-tied-lora");
      copy.change_config([&field = field, &value = value](Json& config) { config[field] = value; });
      has(copy.error(), {"adapter_config.json", field, "_proj", "peft would leave that layer out"});
    }
    const Copy copy("llama-gqa-tied-lora");
    copy.change_config([](Json& config) {
      config["layers_to_transform"] = {0, 1};
      config["layers_pattern"] = "h";
    });
    has(copy.error(), {"adapter_config.json", "layers_pattern"});
  }
  SUBCASE("a table of a prefix that is divided otherwise") {
    const std::vector<std::pair<const char*, Json>> refused = {
        {"num_layers", 4}, {"token_dim", 8}, {"num_transformer_submodules", 2}, {"modules_to_save", {"lm_head"}}};
    for (const auto& [field, value] : refused) {
      CAPTURE(field);
      const Copy copy("llama-gqa-tied-prefix");
      copy.change_config([&field = field, &value = value](Json& config) { config[field] = value; });
      has(copy.error(), {"adapter_config.json", field});
    }
  }
  SUBCASE("ranks beyond the model's matrices allocate nothing") {
    const Copy copy("bloom-lora");
    const std::vector<std::byte> bytes(1 << 16);
    copy.change_config([](Json& config) { config["r"] = 1 << 16; });
    copy.change_tensors([&](auto& tensors) {
      for (auto& t : tensors) t = TensorToWrite::copy_of({t.name, "U8", {}, {1 << 16, 1}, {}, 0, 0}, bytes);
    });
    B backend(1);
    const auto before = backend.memory().allocations;
    CHECK_THROWS_WITH_AS(load_pretrained_with_adapter(copy.golden.base, copy.folder.path(), backend),
                         doctest::Contains("expected shape (65536, 24), got (65536, 1)"), LoadError);
    CHECK(backend.memory().allocations == before);
  }
  SUBCASE("a rank that is not the tensors'") {
    const Copy copy("bloom-lora");
    copy.change_config([](Json& config) { config["r"] = 5; });
    has(copy.error(), {"adapter_model.safetensors", "lora_A.weight", "expected shape (5, ...), got (4, 24)"});
  }
  SUBCASE("a layer that the model has not") {
    const Copy copy("bloom-lora");
    copy.change_tensors([](auto& tensors) {
      for (auto& t : tensors) t.name.replace(t.name.find("query"), 5, "quarry");
    });
    has(copy.error(), {"adapter_config.json", "target_modules", "quarry_key_value"});
    copy.change_config([](Json& config) { config["target_modules"] = Json::array({"quarry_key_value"}); });
    has(copy.error(), {"targets", "quarry_key_value", "matches none"});
  }
  SUBCASE("a name with wildcards") {
    const Copy copy("bloom-lora");
    copy.change_tensors([](auto& tensors) { tensors.front().name = "base_model.model.*.lora_A.weight"; });
    has(copy.error(), {"adapter_model.safetensors", "base_model.model.*.lora_A.weight",
                       "expected the name of a layer, got a pattern"});
  }
  SUBCASE("half of a pair, and a tensor too many") {
    const Copy copy("bloom-lora");
    copy.change_tensors([](auto& tensors) {
      std::erase_if(tensors, [](const auto& t) {
        return t.name.find("h.1.") != t.name.npos && t.name.ends_with("lora_B.weight");
      });
    });
    has(copy.error(), {"h.1.self_attention.query_key_value.lora_B.weight", "got none"});
    copy.change_tensors([](auto& tensors) {
      tensors.push_back(tensors.front());
      tensors.back().name = "base_model.model.transformer.ln_f.weight";
    });
    has(copy.error(), {"transformer.ln_f.weight", "unknown"});
  }
  SUBCASE("a prefix of another model") {
    const Copy copy("bloom-prefix");
    copy.change_tensors([](auto& tensors) { tensors.front().shape = {4, 96 / 2, 2}; });
    has(copy.error(), {"prompt_embeddings", "expected shape (4, ...)"});
    copy.change_tensors([](auto& tensors) { tensors.front().shape = {8, 96 / 2}; });
    has(copy.error(), {"prompt_embeddings", "expected shape (4, ...), got (8, 48)"});
    copy.change_config([](Json& config) { config["num_virtual_tokens"] = 8; });
    has(copy.error(), {"prompt_embeddings", "expected shape (8, 96), got (8, 48)"});
  }
  SUBCASE("numbers that are none") {
    const Copy copy("opt-pre-prefix");
    copy.change_tensors([](auto& tensors) {
      auto& t = tensors.front();
      t.write = [elements = t.shape[0] * t.shape[1]](const ByteSink& sink) {
        const std::vector<float> nan(static_cast<std::size_t>(elements), NAN);
        sink(std::as_bytes(std::span(nan)));
      };
    });
    has(copy.error(), {"prompt_embeddings", "expected finite weights"});
  }
}
