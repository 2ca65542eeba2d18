// Folders with quantised weights: the numbers that bitsandbytes and torch make of them
// (tests/golden/make_quantized_goldens.py), and what is refused.

#include "greentrainer/io/quantized_tensors.hpp"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "greentrainer/io/checkpoint.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/safetensors_writer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::filesystem::path goldens = source_folder() / "tests/golden/quantized";

Json quantization_of(const std::filesystem::path& folder) {
  return read_json_file(folder / "config.json").at("quantization_config");
}

Checkpoint open(const std::filesystem::path& folder) { return {folder, quantization_of(folder), "config.json"}; }

/// NaN equals NaN here. Zeros may differ in their sign: bitsandbytes' own differ with the width of the matrix.
bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(a, b, [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

/// The numbers in another type, rounded once.
std::vector<float> rounded(DType dtype, std::vector<float> values) {
  decode_floats<float>(dtype, encode_floats<float>(dtype, std::span<const float>(values)), values);
  return values;
}

/// A folder of two float8 matrices with scales, in which one thing can be other than it should be.
struct Float8Folder {
  TemporaryFolder folder;
  Json config = {{"quant_method", "fp8"}, {"weight_block_size", {2, 3}}};
  std::string scale_name = "a.weight_scale_inv";
  std::vector<Extent> scale_shape = {2, 2};
  std::string codes = "F8_E4M3";
  std::vector<TensorToWrite> more = {};

  std::string error() const {
    const auto bytes = [](Extent count) {
      return [count](const ByteSink& sink) { sink(std::vector<std::byte>(static_cast<std::size_t>(count))); };
    };
    std::vector<TensorToWrite> tensors = more;
    tensors.push_back({"a.weight", codes, {4, 5}, bytes(20)});
    tensors.push_back({scale_name, "F32", scale_shape, bytes(4 * scale_shape[0] * scale_shape[1])});
    write_safetensors(folder / "model.safetensors", tensors, {});
    return error_of<Error>([&] { Checkpoint(folder.path(), config, "config.json"); });
  }
};

}  // namespace

TEST_CASE("each tensor's numbers are those of bitsandbytes and torch, whole and in parts") {
  const SafetensorsFile decoded(goldens / "decoded.safetensors");
  std::size_t compared = 0;
  for (const TensorInfo& golden : decoded.tensors()) {
    CAPTURE(golden.name);
    const std::size_t slash = golden.name.find('/');
    const std::string name = golden.name.substr(slash + 1);
    const Checkpoint checkpoint = open(goldens / golden.name.substr(0, slash));
    REQUIRE(checkpoint.contains(name));
    CHECK(checkpoint.info(name).shape == golden.shape);
    const auto elements = static_cast<std::size_t>(golden.elements());
    std::vector<float> expected(elements), values(elements);
    decoded.read_as<float>(golden.name, expected);
    checkpoint.read_as(name, std::span(values));
    CHECK(same(rounded(*golden.dtype, values), expected));
    for (std::size_t first = 0, count = 1; first < elements; first += count, count = 3 * count % 1000 + 1) {
      std::vector<float> part(std::min(count, elements - first));
      checkpoint.read_part_as(name, first, std::span(part));
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
      CHECK(same(part, {begin, begin + static_cast<std::ptrdiff_t>(part.size())}));
    }
    compared += checkpoint.is_decoded(name) ? elements : 0;
  }
  CHECK(compared > 100'000);
}

TEST_CASE("a folder's tensors are those of the model: scales and tables are not among them") {
  for (const char* folder : {"nf4", "nf4-nested", "fp4", "int8"}) {
    CAPTURE(folder);
    const Checkpoint checkpoint = open(goldens / folder);
    const std::vector<std::string> names = checkpoint.names();
    CHECK(names.size() == 12);
    for (const std::string& name : names) CHECK(name.ends_with(".weight"));
    CHECK(checkpoint.is_decoded("model.layers.0.mlp.up_proj.weight"));
    CHECK_FALSE(checkpoint.is_decoded("lm_head.weight"));
    CHECK(error_of<LoadError>([&] { checkpoint.raw("model.layers.0.mlp.up_proj.weight.absmax"); }) != "");
  }
}

TEST_CASE("reading beyond a decoded tensor's end is a ShapeError") {
  const Checkpoint checkpoint = open(goldens / "nf4");
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  std::vector<float> values(2);
  const auto elements = static_cast<std::size_t>(checkpoint.info(name).elements());
  CHECK(has(error_of<ShapeError>([&] { checkpoint.read_part_as(name, elements - 1, std::span(values)); }), name));
}

TEST_CASE("methods that cannot be read are refused by name, before any weight is read") {
  const auto error = [](const Json& config) {
    return error_of<ConfigError>([&] { check_quantization(config, "c.json"); });
  };
  CHECK(has(error({{"bits", 4}}),
            "c.json, field \"quant_method\": expected bitsandbytes, fp8, mxfp4 or compressed-tensors"));
  CHECK(has(error({{"quant_method", "gptq"}}), "got gptq"));
  CHECK(has(error({{"quant_method", "bitsandbytes"}}), "load_in_4bit"));
  CHECK(has(error({{"quant_method", "bitsandbytes"}, {"load_in_4bit", 1}}), "expected true or false"));
  CHECK(has(error({{"quant_method", "compressed-tensors"}, {"format", "pack-quantized"}}), "got pack-quantized"));
  CHECK(has(error("fp8"), "quant_method"));
  CHECK(error({{"quant_method", "fp8"}}) == "");
}

TEST_CASE("float8 codes with scales that do not fit are refused, naming the tensor") {
  Float8Folder folder;
  CHECK(folder.error() == "");
  SUBCASE("no scales") {
    folder.scale_name = "other";
    CHECK(has(folder.error(), "a.weight: expected a.weight_scale_inv beside these codes"));
  }
  SUBCASE("too few scales") {
    folder.scale_shape = {2, 1};
    CHECK(has(folder.error(), "a.weight_scale_inv: expected scales of shape (2, 2), got (2, 1)"));
  }
  SUBCASE("as many scales, in another shape") {
    folder.config["weight_block_size"] = {2, 2};
    folder.scale_shape = {3, 2};
    CHECK(has(folder.error(), "a.weight_scale_inv: expected scales of shape (2, 3), got (3, 2)"));
  }
  SUBCASE("scales of blocks where rows have theirs") {
    folder.config = {{"quant_method", "compressed-tensors"}, {"format", "float-quantized"}};
    folder.scale_name = "a.weight_scale";
    CHECK(has(folder.error(), "a.weight_scale: expected scales of shape (4, 1), got (2, 2)"));
    folder.scale_shape = {4, 1};
    CHECK(folder.error() == "");
  }
  SUBCASE("codes of another type, and scales of activations") {
    folder.codes = "I8";
    CHECK(has(folder.error(), "a.weight: expected codes of F8_E4M3 or F8_E5M2 beside a.weight_scale_inv, got I8"));
    folder.codes = "F8_E4M3";
    folder.more = {{"a.input_scale", "F32", {1}, [](const ByteSink& sink) { sink(std::vector<std::byte>(4)); }}};
    CHECK(has(folder.error(), "a.input_scale: expected activations that are not quantised"));
  }
  SUBCASE("blocks that are no blocks") {
    folder.config["weight_block_size"] = {2, 0};
    CHECK(has(folder.error(), "weight_block_size"));
    folder.config["weight_block_size"] = {2};
    CHECK(has(folder.error(), "expected rows and columns"));
  }
  SUBCASE("activations with scales of their own") {
    folder.config["activation_scheme"] = "static";
    CHECK(has(folder.error(), "activation_scheme"));
  }
}

TEST_CASE("mxfp4 codes that are no blocks, or have no scales of theirs, are refused, naming the tensor") {
  const auto error = [](const std::vector<Extent>& blocks, const std::vector<Extent>& scales, const char* other = "") {
    const TemporaryFolder folder;
    std::vector<TensorToWrite> tensors;
    const auto add = [&](std::string name, const std::vector<Extent>& shape) {
      Extent bytes = 1;
      for (const Extent extent : shape) bytes *= extent;
      tensors.push_back({std::move(name), "U8", shape, [bytes](const ByteSink& sink) {
                           sink(std::vector<std::byte>(static_cast<std::size_t>(bytes)));
                         }});
    };
    add("a_blocks", blocks);
    if (!scales.empty()) add("a_scales", scales);
    if (*other != 0) add(other, {1});
    write_safetensors(folder / "model.safetensors", tensors, {});
    return error_of<LoadError>([&] { Checkpoint(folder.path(), {{"quant_method", "mxfp4"}}, "config.json"); });
  };
  CHECK(error({2, 4, 3, 16}, {2, 4, 3}) == "");
  CHECK(has(error({2, 4, 3, 15}, {2, 4, 3}), "a_blocks: expected bytes of shape (experts, out, in / 32, 16), got U8"));
  CHECK(has(error({2, 4, 48}, {2, 4, 3}), "a_blocks: expected bytes of shape"));
  CHECK(has(error({0, 4, 3, 16}, {0, 4, 3}), "a_blocks: expected bytes of shape"));
  CHECK(has(error({2, 4, 3, 16}, {}), "expected a_scales beside these codes"));
  CHECK(has(error({2, 4, 3, 16}, {2, 3, 4}), "a_scales: expected bytes of shape (2, 4, 3), got U8 of shape (2, 3, 4)"));
  CHECK(has(error({2, 4, 3, 16}, {2, 4, 3}, "a"), "expected codes alone, got a beside them"));
}

TEST_CASE("a scale of mxfp4 is an exponent of 2, and its byte 255 is no number") {
  const TemporaryFolder folder;
  const std::vector<int> scales = {127, 0, 254, 255};
  const auto bytes = [](std::vector<int> values) {
    return [values](const ByteSink& sink) {
      std::vector<std::byte> all;
      for (const int value : values) all.push_back(static_cast<std::byte>(value));
      sink(all);
    };
  };
  std::vector<int> codes;
  for (int row = 0; row < 4; ++row)
    for (int j = 0; j < 16; ++j) codes.push_back(j == 0 ? 0xA1 : 0);  // 0.5, then -1
  write_safetensors(folder / "model.safetensors",
                    {{"a_blocks", "U8", {1, 4, 1, 16}, bytes(codes)}, {"a_scales", "U8", {1, 4, 1}, bytes(scales)}},
                    {});
  const Checkpoint checkpoint(folder.path(), {{"quant_method", "mxfp4"}}, "config.json");
  CHECK(checkpoint.names() == std::vector<std::string>{"a"});
  CHECK(checkpoint.info("a").shape == std::vector<Extent>{1, 32, 4});
  std::vector<float> values(32 * 4);
  checkpoint.read_as("a", std::span(values));
  CHECK(values[0] == 0.5F);
  CHECK(values[4] == -1.0F);
  CHECK(values[1] == std::ldexp(0.5F, -127));
  CHECK(values[6] == -std::ldexp(1.0F, 127));
  CHECK(std::isnan(values[3]));
}

TEST_CASE("a lying state of four bits is refused before anything is allocated for it") {
  const std::string state_name = "w.weight.quant_state.bitsandbytes__nf4";
  const auto error = [&](const std::string& state, Extent codes, Extent blocks, bool nested = false) {
    const TemporaryFolder folder;
    const auto zeros = [](Extent count) {
      return [count](const ByteSink& sink) { sink(std::vector<std::byte>(static_cast<std::size_t>(count))); };
    };
    std::vector<TensorToWrite> tensors = {
        {"w.weight", "U8", {codes, 1}, zeros(codes)},
        {"w.weight.absmax", "F32", {blocks}, zeros(4 * blocks)},
        {"w.weight.quant_map", "F32", {16}, zeros(64)},
        {state_name, "U8", {static_cast<Extent>(state.size())}, [&](const ByteSink& sink) {
           const auto bytes = std::as_bytes(std::span(state));
           sink(std::vector<std::byte>(bytes.begin(), bytes.end()));
         }}};
    if (nested) {
      tensors[1] = {"w.weight.absmax", "U8", {blocks}, zeros(blocks)};
      tensors.push_back({"w.weight.nested_absmax", "F32", {1}, zeros(4)});
      tensors.push_back({"w.weight.nested_quant_map", "F32", {256}, zeros(1024)});
    }
    write_safetensors(folder / "model.safetensors", tensors, {});
    return error_of<Error>([&] {
      Checkpoint(folder.path(), {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}}, "config.json");
    });
  };
  const std::string right = R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [13, 5]})";
  CHECK(error(right, 33, 2) == "");
  CHECK(has(error(right, 32, 2), "w.weight: expected two numbers of (13, 5) in each byte, got 32"));
  CHECK(has(error(right, 33, 1), "w.weight.absmax: expected 2 elements of F32, got 1"));
  CHECK(has(error(R"({"blocksize": 64, "shape": [1099511627776, 1099511627776]})", 33, 2), "w.weight"));
  CHECK(has(error(R"({"blocksize": 0, "shape": [13, 5]})", 33, 2), "blocksize"));
  CHECK(has(error(R"({"dtype": "int8", "shape": [13, 5]})", 33, 2), "dtype"));
  CHECK(has(error(R"({"shape": [-13, 5]})", 33, 2), "shape"));
  CHECK(has(error("{", 33, 2), state_name));
  CHECK(error(R"({"shape": [13, 5], "nested_offset": 0.5})", 33, 2, true) == "");
  CHECK(has(error(R"({"shape": [13, 5]})", 33, 2, true), "nested_offset"));
  CHECK(has(error(R"({"shape": [13, 5], "nested_offset": 1e39})", 33, 2, true), "expected a finite number"));
}
