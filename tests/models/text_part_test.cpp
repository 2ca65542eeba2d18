// Models that read images too: their text part is loaded and trained, and the other parts are saved as they were.

#include "greentrainer/models/text_part.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/models/gemma3.hpp"
#include "greentrainer/models/internvl.hpp"
#include "greentrainer/models/llava.hpp"
#include "greentrainer/models/mistral3.hpp"
#include "greentrainer/models/qwen2_5_vl.hpp"
#include "greentrainer/pretrained/generation_ends.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "support/golden_model.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;

namespace {

using Double = EigenBackend<double>;

const std::vector<std::string> with_images = {"gemma3_images", "mistral3", "qwen2_5_vl", "qwen3_vl"};

std::filesystem::path golden(const std::string& name) {
  return testing::source_folder() / "tests/golden/architectures" / name;
}

bool is_of_text(const std::string& tensor) {
  return std::ranges::none_of(std::vector<std::string>{"vision_tower.", "multi_modal_projector.", "visual."},
                              [&](const std::string& part) { return tensor.find(part) != std::string::npos; });
}

/// A copy of a folder whose tensors have other names, and one tensor more if it has a name.
void copy_renamed(const std::filesystem::path& from, const std::filesystem::path& to,
                  const std::function<std::string(const std::string&)>& rename, const std::string& more = "") {
  std::filesystem::create_directories(to);
  std::filesystem::copy_file(from / "config.json", to / "config.json");
  const SafetensorsFile file(from / "model.safetensors");
  std::vector<TensorToWrite> tensors;
  for (TensorInfo info : file.tensors()) {
    auto bytes = file.raw(info.name);
    info.name = rename(info.name);
    tensors.push_back(TensorToWrite::copy_of(info, std::move(bytes)));
  }
  const std::vector<float> one = {1};
  if (!more.empty())
    tensors.push_back(TensorToWrite::values_of<float>(more, DType::float32, {1}, std::span<const float>(one)));
  write_safetensors(to / "model.safetensors", tensors);
}

std::vector<double> logits_of(const std::filesystem::path& folder) {
  Double backend;
  auto model = load_pretrained(folder, backend);
  PackedTokens tokens;
  tokens.append({5, 9, 7, 33, 20, 41, 8, 19});
  return model.logits(tokens);
}

Json config_of(const std::string& name) { return read_json_file(golden(name) / "config.json"); }

}  // namespace

TEST_CASE("tensors of other parts are saved byte for byte, whatever element type the text part is saved in") {
  Double backend;
  for (const std::string& name : with_images) {
    CAPTURE(name);
    const testing::TemporaryFolder temporary;
    auto model = load_pretrained(golden(name), backend);
    save_pretrained(model, temporary / "saved", DType::bfloat16);
    const SafetensorsFile before(golden(name) / "model.safetensors"), after(temporary / "saved/model.safetensors");
    REQUIRE(before.tensors().size() == after.tensors().size());
    int others = 0;
    for (const TensorInfo& info : before.tensors()) {
      CAPTURE(info.name);
      if (is_of_text(info.name)) {
        CHECK(after.info(info.name).dtype == DType::bfloat16);
        continue;
      }
      CHECK(after.info(info.name).dtype_name == info.dtype_name);
      CHECK(after.raw(info.name) == before.raw(info.name));
      ++others;
    }
    CHECK(others >= 8);
  }
}

TEST_CASE("a text part is found under each of the names that files have it under, and keeps them when saved") {
  using Names = std::function<std::string(const std::string&)>;
  const std::string inner = "model.language_model.";
  const auto in_memory = [&](const std::string& name) {  // names of one kind, as the parameters have them
    if (!is_of_text(name)) return name.starts_with("model.") ? name.substr(6) : name;
    if (name.starts_with(inner)) return name;
    if (name.starts_with("language_model.model.")) return inner + name.substr(21);
    return name.starts_with("model.") ? inner + name.substr(6) : name;
  };
  const std::vector<Names> kinds = {
      in_memory,
      [&](const std::string& name) {
        const std::string own = in_memory(name);
        if (own.starts_with(inner)) return "language_model.model." + own.substr(inner.size());
        return own == "lm_head.weight" ? "language_model." + own : own;
      },
      [&](const std::string& name) {
        const std::string own = in_memory(name);
        return own.starts_with(inner) ? "model." + own.substr(inner.size()) : own;
      },
      [&](const std::string& name) { return is_of_text(name) ? in_memory(name) : "model." + in_memory(name); }};
  for (const std::string& name : with_images) {
    CAPTURE(name);
    const auto expected = logits_of(golden(name));
    for (const Names& rename : kinds) {
      const testing::TemporaryFolder temporary;
      copy_renamed(golden(name), temporary / "renamed", rename);
      CHECK(logits_of(temporary / "renamed") == expected);
      Double backend;
      save_pretrained(load_pretrained(temporary / "renamed", backend), temporary / "saved");
      const SafetensorsFile before(temporary / "renamed/model.safetensors"),
          after(temporary / "saved/model.safetensors");
      REQUIRE(before.tensors().size() == after.tensors().size());
      for (const TensorInfo& info : before.tensors()) CHECK(after.raw(info.name) == before.raw(info.name));
    }
  }
}

TEST_CASE("a head of its own counts where config.json ties it, under either name") {
  for (const char* head : {"lm_head.weight", "language_model.lm_head.weight"}) {
    CAPTURE(head);
    const testing::TemporaryFolder temporary;
    copy_renamed(golden("mistral3"), temporary / "own-head",
                 [&](const std::string& name) { return name.ends_with("lm_head.weight") ? head : name; });
    Json config = config_of("mistral3");
    config["tie_word_embeddings"] = true;
    std::ofstream(temporary / "own-head/config.json") << config;
    CHECK(logits_of(temporary / "own-head") == logits_of(golden("mistral3")));
  }
}

TEST_CASE("generation ends at the ids of text_config where nothing else names any") {
  for (const std::string& name : with_images) {
    CAPTURE(name);
    Double backend;
    CHECK(eos_ids_of(load_pretrained(golden(name), backend)) == std::vector<Index>{2});
  }
}

TEST_CASE("a tensor that belongs to no known part is refused by name") {
  for (const std::string& name : with_images) {
    const testing::TemporaryFolder temporary;
    copy_renamed(
        golden(name), temporary / "more", [](const std::string& own) { return own; }, "audio_tower.weight");
    CHECK_THROWS_WITH_AS(logits_of(temporary / "more"), doctest::Contains("audio_tower.weight"), LoadError);
  }
}

TEST_CASE("Qwen2.5-VL's fields of text may stand among its own, with sections of three positions") {
  const Json nested = config_of("qwen2_5_vl");
  Json flat = nested;
  flat.erase("text_config");
  for (const auto& [key, value] : nested["text_config"].items())
    if (!flat.contains(key)) flat[key] = value;
  flat["rope_theta"] = flat["rope_parameters"]["rope_theta"];
  flat["rope_scaling"] = {{"type", "mrope"}, {"mrope_section", flat["rope_parameters"]["mrope_section"]}};
  flat.erase("rope_parameters");
  const auto read = [](const Json& config) { return Qwen25Vl::read(ConfigReader(config, "config.json")); };
  const CausalDecoder one = read(nested), other = read(flat);
  CHECK(one.rotaries == other.rotaries);
  CHECK(one.window == other.window);
  CHECK(one.qkv_bias == other.qkv_bias);
  CHECK(one.tensors().rows.size() == other.tensors().rows.size());

  Json tied = nested;
  tied["tie_word_embeddings"] = false;
  tied["text_config"]["tie_word_embeddings"] = true;
  CHECK(read(tied).tie_word_embeddings);  // as transformers 4 wrote it
}

TEST_CASE("published text parts that say little have the sizes of their classes; another text part is refused") {
  const Json published = {{"model_type", "gemma3"},
                          {"text_config",
                           {{"hidden_size", 2560},
                            {"intermediate_size", 10240},
                            {"model_type", "gemma3_text"},
                            {"num_hidden_layers", 34},
                            {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                            {"sliding_window", 1024}}},
                          {"vision_config", {{"hidden_size", 1152}}},
                          {"mm_tokens_per_image", 256}};
  const CausalDecoder d = Gemma3::read(ConfigReader(published, "config.json"));
  CHECK(d.vocab_size == 262208);
  CHECK(d.num_attention_heads == 8);
  CHECK(d.head_dim == 256);
  CHECK(d.window == 1024);
  CHECK(d.tie_word_embeddings);
  CHECK(d.rotaries.front().scaling.factor == 8);

  const Json llava = {
      {"model_type", "llava"},
      {"text_config", {{"max_position_embeddings", 4096}, {"model_type", "llama"}, {"vocab_size", 32064}}}};
  const CausalDecoder text = Llava::read(ConfigReader(llava, "config.json"));
  CHECK(text.vocab_size == 32064);
  CHECK(text.max_position_embeddings == 4096);
  CHECK(text.intermediate_size == 11008);
  CHECK_FALSE(text.tie_word_embeddings);

  Json other = {{"model_type", "internvl"}, {"text_config", {{"model_type", "gpt2"}}}};
  CHECK_THROWS_WITH_AS(InternVl::read(ConfigReader(other, "config.json")), doctest::Contains("gpt2"), ConfigError);
  other = config_of("mistral3");
  other["text_config"]["model_type"] = "ministral3";
  CHECK_THROWS_WITH_AS(Mistral3::read(ConfigReader(other, "config.json")), doctest::Contains("ministral3"),
                       ConfigError);
  other = config_of("mistral3");
  other["audio_config"] = Json::object({{"layers", 1}});
  CHECK_THROWS_WITH_AS(Mistral3::read(ConfigReader(other, "config.json")), doctest::Contains("audio_config"),
                       ConfigError);
  other = config_of("mistral3");
  other["text_config"] = "small";
  CHECK_THROWS_WITH_AS(Mistral3::read(ConfigReader(other, "config.json")), doctest::Contains("text_config"),
                       ConfigError);
}
