// Models of GGUF files: the numbers that transformers computes with the folders that they were made of, and the bits of
// the folders that they are saved as.

#include <algorithm>
#include <filesystem>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/optim/adamw.hpp"
#include "greentrainer/pretrained/check_save.hpp"
#include "greentrainer/pretrained/generate_text.hpp"
#include "greentrainer/pretrained/load_adapter.hpp"
#include "greentrainer/pretrained/save_adapter.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/golden_model.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::filesystem::path goldens = source_folder() / "tests/golden/gguf";
const std::vector<std::string> architectures = {"llama3", "qwen2", "qwen3",    "gpt2",
                                                "gemma3", "phi3",  "stablelm", "starcoder2"};

std::vector<std::vector<Index>> ids_of(const std::string& name) {
  return read_json_file(goldens / (name + ".json")).at("input_ids").get<std::vector<std::vector<Index>>>();
}

template <Backend B>
std::vector<typename B::Scalar> logits_of(PretrainedModel<B>& model, const std::vector<Index>& ids) {
  PackedTokens tokens;
  tokens.append(ids);
  return model.logits(tokens);
}

template <Backend B>
double difference_from_golden(PretrainedModel<B>& model, const std::string& name) {
  const SafetensorsFile golden(goldens / (name + ".logits.safetensors"));
  double worst = 0;
  const auto ids = ids_of(name);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::string tensor = text("logits.", i);
    std::vector<double> expected(static_cast<std::size_t>(golden.info(tensor).elements()));
    golden.read_as<double>(tensor, expected);
    const auto logits = logits_of(model, ids[i]);
    worst = std::max(worst, relative_difference(std::span(logits), std::span<const double>(expected)));
  }
  return worst;
}

/// Sequences that count upwards.
std::vector<Example> examples_below(Index vocabulary) {
  std::vector<Example> examples;
  for (Index i = 0; i < 6; ++i) {
    Example example;
    for (Index t = 0; t < 6 + i % 5; ++t) example.input_ids.push_back((7 * i + t) % vocabulary);
    example.labels = example.input_ids;
    examples.push_back(std::move(example));
  }
  return examples;
}

/// The file with some bytes replaced, the first time that they occur.
std::filesystem::path changed(const TemporaryFolder& folder, const std::string& name, const std::string& from,
                              const std::string& to) {
  std::string bytes = read_file(goldens / (name + ".gguf"));
  const auto at = bytes.find(from);
  REQUIRE(at != std::string::npos);
  return folder.write("changed.gguf", bytes.replace(at, to.size(), to));
}

std::string error_of_loading(const std::filesystem::path& path) {
  EigenBackend<float> backend(1);
  return error_of<Error>([&] { load_pretrained(path, backend); });
}

}  // namespace

TEST_CASE("a GGUF file computes what transformers computes with the folder that it was made of") {
  EigenBackend<double> backend(1);
  for (const std::string& name : architectures) {
    CAPTURE(name);
    auto model = load_pretrained(goldens / (name + ".gguf"), backend);
    CHECK(difference_from_golden(model, name) < 1e-6);
  }
}

TEST_CASE("a quantised GGUF file computes what transformers computes with it, and speaks") {
  EigenBackend<float> backend(1);
  auto model = load_pretrained(goldens / "stories260k.gguf", backend);
  CHECK(difference_from_golden(model, "stories260k") < 1e-5);
  const std::vector<std::string> prompts = {"Once upon a time"};
  const std::string said = generate_text(model, prompts, {.max_new_tokens = 12}).front();
  CHECK(said.find("there was a little") != std::string::npos);
}

TEST_CASE("config.json of the metadata describes the architecture that the folder's describes") {
  for (const std::string& name : architectures) {
    CAPTURE(name);
    const ModelSource source = open_model("test", goldens / (name + ".gguf"));
    const ConfigReader ours = ConfigReader::from_files(source.files, "config.json");
    const ConfigReader theirs(read_json_file(goldens / (name + ".json")).at("config"), name);
    const auto describe = [](const ConfigReader& config) {
      return KnownArchitectures::read(config, [](const auto& architecture) {
        std::string description;
        if constexpr (requires { architecture.rotaries; }) {
          const auto& a = architecture;
          description = text(a.model_type, ' ', a.vocab_size, ' ', a.hidden_size, ' ', a.intermediate_size, ' ',
                             a.num_hidden_layers, ' ', a.num_attention_heads, ' ', a.num_key_value_heads, ' ',
                             a.head_dim, ' ', a.max_position_embeddings, ' ', a.norm.epsilon, ' ', a.qkv_bias, a.o_bias,
                             a.mlp_bias, a.head_bias, a.parallel, ' ', a.padding_row.value_or(-1));
          for (const RotaryShape& r : a.rotaries)
            description += text(' ', r.theta, ' ', r.rotated, ' ', r.scaling.factor, ' ', r.scaling.original_positions,
                                ' ', r.scaling.low_frequency_factor, ' ', r.scaling.high_frequency_factor);
        }
        return description;
      });
    };
    CHECK(describe(ours) == describe(theirs));
  }
}

TEST_CASE("a GGUF file trained directly gives, bit for bit, what the folder gives that it is saved as") {
  EigenBackend<float> backend(1);
  for (const char* name : {"llama3", "gpt2", "stories260k"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    auto ours = load_pretrained(goldens / text(name, ".gguf"), backend);
    check_save(ours, OutputFolder(folder / "probe"));
    save_pretrained(ours, folder / "saved");
    auto theirs = load_pretrained(folder / "saved", backend);
    CHECK(weights_of(ours) == weights_of(theirs));
    const std::vector<Index> ids = ids_of(name).front();
    CHECK(logits_of(ours, ids) == logits_of(theirs, ids));
    CHECK(eos_ids_of(ours) == eos_ids_of(theirs));
    CHECK(ours.has_tokenizer() == theirs.has_tokenizer());

    const std::vector<Example> examples = examples_below(80);
    const auto train = [&](PretrainedModel<EigenBackend<float>>& model) {
      Trainer trainer(model, GreenOptions{.flops_ratio = 0.6}, AdamWOptions{.learning_rate = 1e-3F});
      trainer.fit(examples, {.epochs = 2, .batch_size = 2});
      return weights_of(model);
    };
    CHECK(train(ours) == train(theirs));
  }
}

TEST_CASE("what is saved of a GGUF file is a Hugging Face folder, its blocks decoded to float32") {
  EigenBackend<float> backend(1);
  const TemporaryFolder folder;
  const auto model = load_pretrained(goldens / "stories260k.gguf", backend);
  save_pretrained(model, folder / "out");
  const SafetensorsFile saved(folder / "out/model.safetensors");
  CHECK(saved.info("model.layers.0.self_attn.q_proj.weight").dtype == DType::float32);  // Q8_0
  CHECK(saved.info("model.layers.0.mlp.down_proj.weight").dtype == DType::float16);     // as it was
  CHECK_FALSE(saved.contains("lm_head.weight"));
  CHECK(read_json_file(folder / "out/config.json").at("model_type") == "llama");
  CHECK(read_json_file(folder / "out/generation_config.json").at("eos_token_id") == 2);
  save_pretrained(model, folder / "half", DType::bfloat16);
  CHECK(read_json_file(folder / "half/config.json").at("torch_dtype") == "bfloat16");
}

TEST_CASE("an adapter of a GGUF file names the file, and is loaded with it") {
  EigenBackend<float> backend(1);
  const TemporaryFolder folder;
  GraphOptions options;
  options.lora = LoraOptions{.rank = 2, .alpha = 4};
  auto model = load_pretrained(goldens / "stories260k.gguf", backend, options, 3);
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    if (!model.graph().parameter(id).is_adapter()) continue;
    auto values = model.parameters()[id].download();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.01F * static_cast<float>(i % 7);
    model.parameters()[id].upload(values);
  }
  save_adapter(model, folder / "adapter");
  auto again = load_model_or_adapter(folder / "adapter", backend);
  const std::vector<Index> ids = ids_of("stories260k").front();
  CHECK(logits_of(again, ids) == logits_of(model, ids));
}

TEST_CASE("a path may be the file, or a folder that holds one and no safetensors") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "one");
  std::filesystem::copy(goldens / "gpt2.gguf", folder / "one/model.gguf");
  folder.write("one/config.json", "{}");  // what a repository has beside it does not count
  CHECK(error_of_loading(folder / "one").empty());
  std::filesystem::copy(goldens / "gpt2.gguf", folder / "one/other.gguf");
  CHECK(has(error_of_loading(folder / "one"), "got 2 of them, model.gguf and other.gguf among them"));
  CHECK(has(error_of_loading(folder.write("x.gguf", "text")), "is this a GGUF file?"));
}

TEST_CASE("what of a GGUF file cannot be followed is refused by name") {
  const TemporaryFolder folder;
  CHECK(has(
      error_of_loading(changed(folder, "gpt2", std::string("architecture\x08\0\0\0\x04\0\0\0\0\0\0\0gpt2", 28),
                               std::string("architecture\x08\0\0\0\x04\0\0\0\0\0\0\0rwkv", 28))),
      "metadata general.architecture: expected one of gemma3, gpt2, llama, phi3, qwen2, qwen3, stablelm, starcoder2, "
      "got rwkv"));
  CHECK(has(error_of_loading(changed(folder, "qwen2", "qwen2.rope.freq_base", "qwen2.rope.frex_base")),
            "metadata qwen2.rope.frex_base: expected a key whose meaning is known for this architecture"));
  CHECK(has(error_of_loading(changed(folder, "qwen2", "blk.1.attn_q.bias", "blk.1.attn_x.bias")),
            "tensor blk.1.attn_q.bias: expected it in the file"));
  CHECK(has(error_of_loading(changed(folder, "llama3", "rope_freqs.weight", "rope_frexs.weight")),
            "tensor rope_frexs.weight: expected a tensor of this architecture, got an unknown one"));
  CHECK(has(error_of_loading(changed(folder, "qwen2", "qwen2.block_count", "qwen2.block_counx")), "block_count"));
}

TEST_CASE("no change of a header makes loading crash or hang: it loads, or says what is wrong") {
  const TemporaryFolder folder;
  EigenBackend<float> backend(1);
  const auto try_to_load = [&](const std::string& bytes) {
    const auto path = folder.write("changed.gguf", bytes);
    try {
      load_pretrained(path, backend);
    } catch (const Error& error) {
      CHECK(std::string(error.what()).starts_with("["));
      return false;
    }
    return true;
  };
  for (const char* name : {"gpt2", "llama3"}) {
    CAPTURE(name);
    const std::string original = read_file(goldens / text(name, ".gguf"));
    const std::size_t header = original.rfind("output_norm") + 64;
    std::size_t loaded = 0, tried = 0;
    for (std::size_t bit = 0; bit < 8 * header; bit += header / 50 + 1, ++tried) {
      CAPTURE(bit);
      std::string bytes = original;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
      loaded += try_to_load(bytes) ? 1 : 0;
    }
    CHECK(loaded < tried);
    CounterRandom random(7, name);
    for (int i = 0; i < 200; ++i) {
      CAPTURE(i);
      std::string bytes = original;
      for (int change = 0; change < 4; ++change)
        bytes[random.below(static_cast<std::uint32_t>(header))] = static_cast<char>(random.below(256));
      try_to_load(bytes);
    }
    for (std::size_t size = 0; size < header; size += header / 100 + 1)
      CHECK_FALSE(try_to_load(original.substr(0, size)));
  }
}
