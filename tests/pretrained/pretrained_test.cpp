// A real checkpoint speaks its published text; what is saved can be loaded; what is damaged is refused by name.

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/opaque.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/models/llama.hpp"
#include "greentrainer/pretrained/generate_text.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "support/golden_model.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;

namespace {

const std::filesystem::path root = testing::source_folder();

/// A copy of a golden model's folder that a test may damage.
struct Copy {
  explicit Copy(const std::string& name) : folder(scratch.path() / name) {
    std::filesystem::copy(root / "tests/golden/models" / name, folder);
  }
  testing::TemporaryFolder scratch;
  std::filesystem::path folder;
};

std::string error_of(const std::filesystem::path& folder) {
  EigenBackend<float> backend(1);
  try {
    load_pretrained(folder, backend);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void rewrite(const std::filesystem::path& folder, const std::function<void(std::vector<TensorToWrite>&)>& change) {
  const SafetensorsFile original(folder / "model.safetensors");
  std::vector<TensorToWrite> tensors;
  for (const auto& info : original.tensors()) tensors.push_back(TensorToWrite::copy_of(info, original.raw(info.name)));
  change(tensors);
  write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
}

}  // namespace

TEST_CASE_TEMPLATE("stories260K: the published greedy text, token by token", B, EigenBackend<float>,
                   OpaqueBackend<EigenBackend<float>>) {
  B backend(2);
  auto model = load_pretrained(root / "examples/data/stories260k", backend);
  const auto golden = read_json_file(root / "tests/golden/models/stories260k-greedy.json");
  auto ids = golden.at("ids").template get<std::vector<Index>>();
  const std::vector<std::vector<Index>> prompts = {{ids.front()}};  // BOS alone
  ids.erase(ids.begin());
  const GenerateOptions options{.max_new_tokens = static_cast<Extent>(ids.size())};
  CHECK(generate(model, prompts, options).front().ids == ids);
  CHECK(generate_text(model, std::vector<std::string>{""}, options).front() ==
        golden.at("text").template get<std::string>());
}

TEST_CASE("an unchanged model is saved byte for byte; a changed tensor alone differs; element types can be chosen") {
  EigenBackend<float> backend(1);
  Copy copy("llama-gqa-tied");
  auto model = load_pretrained<Llama>(copy.folder, backend);
  const auto out = copy.scratch.path() / "out";
  save_pretrained(model, out);
  const SafetensorsFile before(copy.folder / "model.safetensors"), after(out / "model.safetensors");
  CHECK(after.tensors().size() == before.tensors().size());
  for (const auto& info : before.tensors()) CHECK(std::ranges::equal(before.raw(info.name), after.raw(info.name)));

  const ParameterId changed = *model.graph().find("model.layers.1.mlp.up_proj.weight");
  auto weights = model.parameters()[changed].download();
  weights[5] += 1;
  model.parameters()[changed].upload(weights);
  save_pretrained(model, out);  // replaces the folder
  const SafetensorsFile again(out / "model.safetensors");
  for (const auto& info : before.tensors()) {
    CHECK(std::ranges::equal(before.raw(info.name), again.raw(info.name)) ==
          (info.name != "model.layers.1.mlp.up_proj.weight"));
  }
  save_pretrained(model, out, DType::bfloat16);
  CHECK(SafetensorsFile(out / "model.safetensors").info("model.norm.weight").dtype == DType::bfloat16);
  CHECK(read_json_file(out / "config.json").at("torch_dtype") == "bfloat16");
  auto half = load_pretrained(out, backend);
  CHECK(half.parameters()[changed].download()[5] == doctest::Approx(weights[5]).epsilon(0x1p-7));

  weights[0] = 1e5F;
  model.parameters()[changed].upload(weights);
  CHECK_THROWS_WITH_AS(save_pretrained(model, out, DType::float16),
                       doctest::Contains("expected weights that float16 can hold, got 100000"), NumericalError);
  weights[0] = NAN;
  model.parameters()[changed].upload(weights);
  CHECK_THROWS_AS(save_pretrained(model, out), NumericalError);
  CHECK(load_pretrained(out, backend).parameters()[changed].download()[5] ==
        half.parameters()[changed].download()[5]);  // what was there still is
}

TEST_CASE("a saved model keeps every file of a tokenizer, those of ranked tokens as well") {
  Copy copy("llama-gqa-tied");
  const std::vector<std::string> names = {"tokenizer.json", "vocab.json",  "merges.txt",    "tokenizer.model",
                                          "spiece.model",   "tekken.json", "tiktoken.model"};
  for (const std::string& name : names) std::ofstream(copy.folder / name) << "x";
  const auto kept = detail::companions_of(copy.folder);
  for (const std::string& name : names) CHECK(std::ranges::count(kept, name) == 1);
}

TEST_CASE("what a link in a model folder leads to is not carried away, unless it is the model's") {
  EigenBackend<float> backend(1);
  Copy copy("llama-gqa-tied");
  const auto out = copy.scratch.path() / "out";
  std::filesystem::create_directories(copy.scratch.path() / "hub/blobs");
  std::filesystem::create_directories(copy.scratch.path() / "hub/snapshots");
  copy.scratch.write("hub/blobs/b10b", "{{ messages }}");
  copy.scratch.write("secret", "not the model's");
  const auto cached = copy.scratch.path() / "hub/snapshots/c0ffee";
  std::filesystem::copy(copy.folder, cached);
  std::filesystem::create_symlink("../../blobs/b10b", cached / "chat_template.jinja");
  save_pretrained(load_pretrained<Llama>(cached, backend), out);  // as Hugging Face's cache has it
  CHECK(read_file(out / "chat_template.jinja") == "{{ messages }}");

  std::filesystem::create_symlink(copy.scratch.path() / "secret", copy.folder / "added_tokens.json");
  std::filesystem::remove_all(out);
  CHECK_THROWS_WITH_AS(save_pretrained(load_pretrained<Llama>(copy.folder, backend), out),
                       doctest::Contains("added_tokens.json: expected a file of the model"), SaveError);
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("names with and without the model's prefix; tensors that repeat others") {
  EigenBackend<float> backend(1);
  const auto shared_with = [&](const std::filesystem::path& folder, const std::string& name, const std::string& added,
                               std::byte change) {
    rewrite(folder, [&](auto& tensors) {
      const SafetensorsFile file(folder / "model.safetensors");
      std::vector<std::byte> bytes = file.raw(name);
      bytes[2] ^= change;
      tensors.push_back(TensorToWrite::copy_of(file.info(name), std::move(bytes)));
      tensors.back().name = added;
    });
    return error_of(folder);
  };
  SUBCASE("BLOOM") {
    Copy copy("bloom");
    const auto expected = load_pretrained(copy.folder, backend).parameters()[3].download();
    rewrite(copy.folder, [](auto& tensors) {
      for (auto& t : tensors) t.name = t.name.substr(std::string("transformer.").size());
    });
    auto model = load_pretrained(copy.folder, backend);
    CHECK(model.parameters()[3].download() == expected);
    save_pretrained(model, copy.scratch.path() / "out");
    CHECK(SafetensorsFile(copy.scratch.path() / "out/model.safetensors")
              .contains("h.0.self_attention.query_key_value.bias"));  // as it came
    CHECK(shared_with(copy.folder, "word_embeddings.weight", "lm_head.weight", std::byte{0}).empty());
    CHECK(testing::has(shared_with(copy.folder, "h.0.mlp.dense_h_to_4h.bias", "h.0.mlp.extra", std::byte{0}),
                       "h.0.mlp.extra"));
  }
  SUBCASE("T5") {
    Copy copy("t5-tied-relu");
    CHECK(shared_with(copy.folder, "shared.weight", "encoder.embed_tokens.weight", std::byte{0}).empty());
    CHECK(shared_with(copy.folder, "shared.weight", "lm_head.weight", std::byte{0}).empty());
    auto model = load_pretrained(copy.folder, backend);
    save_pretrained(model, copy.scratch.path() / "out");
    CHECK(SafetensorsFile(copy.scratch.path() / "out/model.safetensors").tensors().size() ==
          model.graph().parameters().size());
    const std::string error = shared_with(copy.folder, "shared.weight", "decoder.embed_tokens.weight", std::byte{1});
    CHECK(testing::has(error, "tensor decoder.embed_tokens.weight: expected the weights of shared.weight"));
  }
}

TEST_CASE("damaged and foreign checkpoints are refused by file and tensor") {
  const auto has = [](const std::string& error, std::initializer_list<const char*> parts) {
    CAPTURE(error);
    for (const char* part : parts) {
      CAPTURE(part);
      CHECK(error.find(part) != std::string::npos);
    }
  };
  SUBCASE("a missing tensor") {
    Copy copy("opt-pre");
    rewrite(copy.folder, [](auto& tensors) { tensors.erase(tensors.begin() + 3); });
    has(error_of(copy.folder), {"opt-pre", "expected tensor model.decoder."});
  }
  SUBCASE("a tensor too many") {
    Copy copy("opt-pre");
    rewrite(copy.folder, [](auto& tensors) {
      tensors.push_back(tensors.front());
      tensors.back().name = "model.decoder.extra.weight";
    });
    has(error_of(copy.folder), {"model.safetensors", "model.decoder.extra.weight"});
  }
  SUBCASE("a wrong shape") {
    Copy copy("opt-pre");
    rewrite(copy.folder, [](auto& tensors) {
      for (auto& t : tensors) {
        if (t.name.ends_with("layers.0.fc1.weight")) std::reverse(t.shape.begin(), t.shape.end());
      }
    });
    has(error_of(copy.folder), {"model.safetensors", "layers.0.fc1.weight", "expected shape (64, 32), got (32, 64)"});
  }
  SUBCASE("a weight that is not a number") {
    Copy copy("opt-pre");
    const std::vector<float> bad(32, NAN);
    rewrite(copy.folder, [&](auto& tensors) {
      for (auto& t : tensors) {
        if (t.name.ends_with("layers.1.fc2.bias"))
          t = TensorToWrite::values_of(t.name, DType::float32, t.shape, std::span<const float>(bad));
      }
    });
    has(error_of(copy.folder), {"model.safetensors", "layers.1.fc2.bias", "finite"});
  }
  SUBCASE("a truncated file") {
    Copy copy("opt-pre");
    std::filesystem::resize_file(copy.folder / "model.safetensors", 5000);
    has(error_of(copy.folder), {"model.safetensors"});
  }
  SUBCASE("an unknown architecture, and a field that changes the mathematics") {
    Copy llama("llama-gqa-tied"), bloom("bloom"), t5("t5-untied-gated");
    const auto with = [&](const Copy& copy, const char* field, const Json& value) {
      const auto config = read_json_file(copy.folder / "config.json");
      auto changed = config;
      changed[field] = value;
      std::ofstream(copy.folder / "config.json") << changed;
      const std::string error = error_of(copy.folder);
      std::ofstream(copy.folder / "config.json") << config;
      return error;
    };
    has(with(llama, "model_type", "gpt5"), {"config.json", "model_type", "llama", "gpt5"});
    has(with(llama, "rope_scaling", Json{{"rope_type", "axial"}, {"factor", 4.0}}),
        {"config.json", "rope_scaling", "rope_type", "axial"});
    has(with(llama, "quantization_config", Json{{"bits", 4}}), {"config.json", "quantization_config"});
    has(with(llama, "sliding_window", 128), {"config.json", "sliding_window"});
    has(with(llama, "num_attention_heads", 5), {"config.json", "num_attention_heads"});
    has(with(llama, "hidden_size", 0), {"config.json", "hidden_size"});
    has(with(llama, "vocab_size", "96"), {"config.json", "vocab_size"});
    CHECK(with(llama, "rope_parameters", Json{{"rope_type", "default"}, {"rope_theta", 10000.0}}).empty());

    has(with(bloom, "slow_but_exact", true), {"config.json", "slow_but_exact"});
    has(with(bloom, "n_inner", 64), {"config.json", "n_inner", "expected 96, got 64"});
    has(with(bloom, "num_attention_heads", 4), {"config.json", "n_head", "expected 4, got 3"});
    has(with(bloom, "n_head", 5), {"config.json", "hidden_size", "n_head"});
    has(with(bloom, "position_embedding", "rotary"), {"config.json", "position_embedding"});
    CHECK(with(bloom, "n_embed", 24).empty());

    has(with(t5, "feed_forward_proj", "gated-mish"), {"config.json", "feed_forward_proj", "mish"});
    has(with(t5, "dense_act_fn", "relu"), {"config.json", "dense_act_fn", "gelu_new"});
    has(with(t5, "is_gated_act", false), {"config.json", "is_gated_act"});
    has(with(t5, "tie_encoder_decoder", true), {"config.json", "tie_encoder_decoder"});
    has(with(t5, "is_encoder_decoder", false), {"config.json", "is_encoder_decoder"});
    has(with(t5, "relative_attention_num_buckets", 6), {"config.json", "relative_attention_num_buckets"});
    has(with(t5, "relative_attention_max_distance", 4), {"config.json", "relative_attention_max_distance"});
    has(with(t5, "decoder_start_token_id", 96), {"config.json", "decoder_start_token_id", "0 to 95"});
    has(with(t5, "num_decoder_layers", 4), {"decoder.block.3"});
    CHECK(with(t5, "n_positions", 512).empty());
  }
}
