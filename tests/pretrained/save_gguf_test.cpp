// Models written as GGUF files and read again.

#include "greentrainer/pretrained/save_gguf.hpp"

#include <filesystem>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/gguf.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/generate_text.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/pretrained/save_adapter.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

using Cpu = EigenBackend<float>;

const std::filesystem::path root = source_folder();
const std::filesystem::path stories = root / "examples/data/stories260k";

GgufOptions in_format(std::string_view name) { return {.format = find_storage_format(name)}; }

std::string error_of_saving(const std::filesystem::path& model, const GgufOptions& options = {}) {
  const TemporaryFolder folder;
  const std::string error = error_of<Error>([&] { save_gguf(model, folder / "out.gguf", options); });
  CHECK(folder.entries() == (error.empty() ? 1 : 0));
  return error;
}

}  // namespace

TEST_CASE("a file in float32 has the weights of its model, bit for bit, for every architecture") {
  Cpu backend(1);
  for (const char* name : {"llama3", "qwen2", "qwen3", "gpt2", "gemma3", "phi3", "stablelm", "starcoder2"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const auto original = load_pretrained(root / "tests/golden/gguf" / text(name, ".gguf"), backend);
    save_pretrained(original, folder / "folder");
    for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
      std::filesystem::remove(folder / "folder" / file);
    const SavedGguf saved = save_gguf(folder / "folder", folder / "out.gguf", in_format("F32"));
    CHECK(saved.bytes == static_cast<Bytes>(std::filesystem::file_size(folder / "out.gguf")));
    REQUIRE(saved.notices.size() == 1);
    CHECK(has(saved.notices[0], "the model has no tokenizer"));
    const auto again = load_pretrained(folder / "out.gguf", backend);
    CHECK(weights_of(again) == weights_of(original));

    const GgufFile ours(folder / "out.gguf"), theirs(root / "tests/golden/gguf" / text(name, ".gguf"));
    CHECK(ours.tensors().size() == theirs.tensors().size());
    for (const TensorInfo& tensor : theirs.tensors()) {
      CAPTURE(tensor.name);
      REQUIRE(ours.contains(tensor.name));
      CHECK(ours.info(tensor.name).shape == tensor.shape);
      if (tensor.name != "rope_freqs.weight") CHECK(ours.raw(tensor.name) == theirs.raw(tensor.name));
    }
  }
}

TEST_CASE("a folder and its GGUF file speak the same, with the same ids") {
  Cpu backend(1);
  const TemporaryFolder folder;
  const SavedGguf saved =
      save_gguf(stories, folder / "out.gguf", {.format = find_storage_format("F32"), .name = "tiny"});
  CHECK(saved.architecture == "llama");
  CHECK(saved.notices.empty());
  auto ours = load_pretrained(folder / "out.gguf", backend);
  auto theirs = load_pretrained(stories, backend);
  CHECK(weights_of(ours) == weights_of(theirs));
  CHECK(eos_ids_of(ours) == eos_ids_of(theirs));
  const std::vector<std::string> prompts = {"Once upon a time", "Tom had a red"};
  CHECK(generate_text(ours, prompts, {.max_new_tokens = 12}) == generate_text(theirs, prompts, {.max_new_tokens = 12}));
  const GgufFile file(folder / "out.gguf");
  CHECK(file.metadata().at("general.name") == "tiny");
  CHECK(file.metadata().at("general.file_type") == 0);
  CHECK_FALSE(file.contains("output.weight"));  // tied
}

TEST_CASE("weights are in the format that was asked for, norms in float32, rows that do not fit in half") {
  Cpu backend(1);
  const auto theirs = load_pretrained(stories, backend);
  for (const char* name : {"F16", "BF16", "Q8_0"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const SavedGguf saved = save_gguf(stories, folder / "out.gguf", in_format(name));
    const GgufFile file(folder / "out.gguf");
    CHECK(file.info("blk.0.attn_q.weight").dtype_name == name);
    CHECK(file.info("blk.0.attn_norm.weight").dtype_name == "F32");
    const bool falls_back = find_storage_format(name)->block > 1;
    CHECK(file.info("blk.0.ffn_down.weight").dtype_name == (falls_back ? "F16" : name));  // rows of 172
    REQUIRE(saved.notices.size() == (falls_back ? 1 : 0));
    if (falls_back) CHECK(has(saved.notices[0], "5 tensors are in F16, since their rows are no multiple of 32"));
    CHECK(file.metadata().contains("general.quantization_version") == falls_back);

    const StorageFormat& format = *find_storage_format(name);
    const auto id = *theirs.graph().find("model.layers.0.mlp.up_proj.weight");
    const std::vector<float> weights = theirs.parameters()[id].download();
    std::vector<std::byte> bytes(weights.size() / format.block * format.bytes);
    encode_blocks(format, weights, bytes);
    CHECK(file.raw("blk.0.ffn_up.weight") == bytes);
  }
}

TEST_CASE("a GGUF file can be written again in another format") {
  const TemporaryFolder folder;
  save_gguf(stories, folder / "half.gguf");
  save_gguf(folder / "half.gguf", folder / "full.gguf", in_format("F32"));
  Cpu backend(1);
  CHECK(weights_of(load_pretrained(folder / "full.gguf", backend)) ==
        weights_of(load_pretrained(folder / "half.gguf", backend)));
}

TEST_CASE("what GGUF cannot hold is refused by name, and no file is left") {
  CHECK(has(error_of_saving(root / "tests/golden/models/opt-pre"),
            "field \"model_type\": expected a model that only decodes and that GGUF files are written of, got opt"));
  CHECK(has(error_of_saving(root / "tests/golden/architectures/olmo2"), "got olmo2"));
  CHECK(has(error_of_saving(stories, in_format("NF4")), "expected F32, F16, BF16 or Q8_0, got NF4"));
  CHECK(has(error_of_saving(stories, {.format = nullptr}), "got none"));
  // Its file has a tokenizer of more tokens than the embedding has rows.
  CHECK(has(error_of_saving(root / "tests/golden/gguf/llama3.gguf"), "as many as the embedding has rows"));

  Cpu backend(1);
  const TemporaryFolder folder;
  const auto with_lora = load_pretrained(stories, backend, {.lora = LoraOptions{.rank = 2, .alpha = 4}});
  save_adapter(with_lora, folder / "adapter");
  CHECK(has(error_of_saving(folder / "adapter"), "got an adapter's folder; merge the adapter into its model first"));

  auto model = load_pretrained(stories, backend);
  const auto id = *model.graph().find("model.layers.1.mlp.up_proj.weight");
  std::vector<float> values = model.parameters()[id].download();
  values[3] = 70000;
  model.parameters()[id].upload(values);
  save_pretrained(model, folder / "large", DType::float32);
  CHECK(has(error_of_saving(folder / "large"),
            "model.layers.1.mlp.up_proj.weight: expected weights that F16 can hold, got 70000; choose BF16 or F32"));
  CHECK(error_of_saving(folder / "large", in_format("BF16")) == "");
}
