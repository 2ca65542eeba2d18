#include "greentrainer/core/storage_format.hpp"

#include <bit>
#include <cmath>
#include <set>

#include <doctest/doctest.h>

#include "greentrainer/io/safetensors.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;

namespace {

/// Equal bits, but any NaN is like any other.
bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

}  // namespace

TEST_CASE("every block format decodes to the bits that the Python package gguf gives") {
  // Random blocks, and scales that are 1, -0, subnormal, the largest, infinite or no number.
  const SafetensorsFile golden(testing::source_folder() / "tests/golden/gguf/formats.safetensors");
  for (const StorageFormat& format : storage_formats) {
    if (format.name == "F64" || !format.ggml) continue;  // gguf does not decode it
    CAPTURE(format.name);
    const auto name = std::string(format.name);
    const std::vector<std::byte> blocks = golden.raw(name + ".blocks");
    std::vector<float> expected(static_cast<std::size_t>(golden.info(name + ".values").elements()));
    golden.read_as<float>(name + ".values", expected);
    REQUIRE(blocks.size() / format.bytes * format.block == expected.size());

    std::vector<float> values(expected.size());
    decode_blocks<float>(format, blocks, values);
    std::size_t different = 0;
    for (std::size_t i = 0; i < values.size(); ++i) different += same(values[i], expected[i]) ? 0 : 1;
    CHECK(different == 0);

    std::vector<double> wide(expected.size());
    decode_blocks<double>(format, blocks, wide);
    for (std::size_t i = 0; i < values.size(); ++i) different += same(static_cast<float>(wide[i]), expected[i]) ? 0 : 1;
    CHECK(different == 0);
  }
}

TEST_CASE("a block of zeros with a negative scale is minus zero, as Q4_0 writes it") {
  std::vector<std::byte> block(18, std::byte{0x88});
  block[0] = std::byte{0x00};
  block[1] = std::byte{0x80};
  std::vector<float> values(32, 1.0F);
  decode_blocks<float>(*find_storage_format("Q4_0"), block, values);
  for (const float value : values) CHECK(std::bit_cast<std::uint32_t>(value) == 0x80000000U);
}

TEST_CASE("formats differ in name and number, and are found by either") {
  std::set<std::string_view> names;
  std::set<std::uint32_t> numbers;
  for (const StorageFormat& format : storage_formats) {
    CHECK(names.insert(format.name).second);
    if (format.ggml) CHECK(numbers.insert(*format.ggml).second);
    CHECK(find_storage_format(format.name) == &format);
    if (format.ggml) CHECK(find_storage_format(*format.ggml) == &format);
    CHECK(format.block <= 256);
    CHECK((format.dtype.has_value() != (format.decode_block != nullptr)));
  }
  CHECK(find_storage_format("Q3_K") == nullptr);
  CHECK(find_storage_format(11U) == nullptr);
}

TEST_CASE("only whole blocks are decoded") {
  const StorageFormat& format = *find_storage_format("Q8_0");
  std::vector<std::byte> bytes(34);
  std::vector<float> values(31);
  CHECK_THROWS_AS(decode_blocks<float>(format, bytes, values), ShapeError);
  values.resize(64);
  CHECK_THROWS_AS(decode_blocks<float>(format, bytes, values), ShapeError);
  values.resize(32);
  CHECK_NOTHROW(decode_blocks<float>(format, bytes, values));
}

TEST_CASE("numbers become the blocks that gguf and bitsandbytes make of them, and NF4's decode to its numbers") {
  const SafetensorsFile golden(testing::source_folder() / "tests/golden/gguf/encoded.safetensors");
  std::vector<float> values(static_cast<std::size_t>(golden.info("values").elements()));
  golden.read_as<float>("values", values);
  for (const char* name : {"Q8_0", "Q4_0"}) {
    CAPTURE(name);
    const StorageFormat& format = *find_storage_format(name);
    std::vector<std::byte> bytes(values.size() / format.block * format.bytes);
    encode_blocks(format, values, bytes);
    CHECK(bytes == golden.raw(name));
  }
  const StorageFormat& nf4 = *find_storage_format("NF4");
  std::vector<std::byte> bytes(values.size() / nf4.block * nf4.bytes), codes, largest;
  encode_blocks(nf4, values, bytes);
  for (auto block = bytes.begin(); block != bytes.end(); block += static_cast<std::ptrdiff_t>(nf4.bytes)) {
    largest.insert(largest.end(), block, block + 4);
    codes.insert(codes.end(), block + 4, block + static_cast<std::ptrdiff_t>(nf4.bytes));
  }
  CHECK(codes == golden.raw("NF4.codes"));
  CHECK(largest == golden.raw("NF4.largest"));
  std::vector<float> decoded(values.size()), expected(values.size());
  decode_blocks<float>(nf4, bytes, decoded);
  golden.read_as<float>("NF4.values", expected);
  CHECK(std::equal(decoded.begin(), decoded.end(), expected.begin(), same));
}

TEST_CASE("a format that is only read refuses to be written") {
  const StorageFormat& format = *find_storage_format("Q6_K");
  const std::vector<float> values(format.block);
  std::vector<std::byte> bytes(format.bytes);
  CHECK_THROWS_AS(encode_blocks(format, values, bytes), ConfigError);
  CHECK_THROWS_AS(encode_blocks(*find_storage_format("Q8_0"), values, std::span(bytes)), ShapeError);
}
