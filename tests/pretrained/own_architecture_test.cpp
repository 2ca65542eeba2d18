// An architecture of one's own loads beside those that are known, as docs/architectures.md shows.

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/models/causal_decoder_fields.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "support/golden_model.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;

namespace {

/// Llama with biases on queries, keys and values, and logits divided by `logit_divisor`.
struct Mine {
  static constexpr std::string_view model_type = "mine";

  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {});
    d.qkv_bias = true;
    d.logit_scale = 1 / config.get_or<double>("logit_divisor", 1);
    read_qwen_window(config, d);
    finish_config(config);
    return d;
  }
};

/// The golden folder of Qwen2 under another model_type, and what is changed in its config.json.
std::filesystem::path folder_of_mine(const testing::TemporaryFolder& temporary, const Json& changes) {
  const auto golden = testing::source_folder() / "tests/golden/architectures/qwen2";
  Json config = read_json_file(golden / "config.json");
  config["model_type"] = "mine";
  config.update(changes);
  temporary.write("mine/config.json", config.dump());
  std::filesystem::copy_file(golden / "model.safetensors", temporary / "mine/model.safetensors");
  return temporary / "mine";
}

using Mixed = Architectures<Mine, KnownArchitectures>;

}  // namespace

TEST_CASE("a user's architecture loads, computes and saves, in front of those that are known") {
  EigenBackend<double> backend;
  const testing::TemporaryFolder temporary;
  const auto folder = folder_of_mine(temporary, {{"logit_divisor", 4.0}});
  auto model = load_pretrained(folder, backend, Mixed{});
  CHECK(model.facts().model_type == "mine");
  const testing::GoldenModel golden(testing::source_folder() / "tests/golden/architectures/qwen2");
  const auto& ids = golden.examples.front().input_ids;
  PackedTokens tokens;
  tokens.append(ids);
  std::vector<double> expected = golden.tensor("logits.0");
  for (double& logit : expected) logit /= 4;
  CHECK(testing::relative_difference(model.logits(tokens), expected) < 1e-6);
  save_pretrained(model, temporary / "saved");
  CHECK(load_pretrained<Mine>(temporary / "saved", backend).graph().parameters().size() ==
        model.graph().parameters().size());
  const auto known = testing::source_folder() / "tests/golden/architectures/qwen2";
  CHECK(load_pretrained(known, backend, Mixed{}).facts().model_type == "qwen2");
}

TEST_CASE("a model_type that no list has is refused with the names of those that have one") {
  EigenBackend<double> backend;
  const testing::TemporaryFolder temporary;
  const auto folder = folder_of_mine(temporary, {{"model_type", "nobody's"}});
  CHECK_THROWS_WITH_AS(load_pretrained(folder, backend, Mixed{}),
                       doctest::Contains("expected one of mine, arcee, bloom, cohere"), ConfigError);
  const testing::TemporaryFolder other;
  CHECK_THROWS_WITH_AS(load_pretrained(folder_of_mine(other, Json::object()), backend), doctest::Contains("got mine"),
                       ConfigError);
}
