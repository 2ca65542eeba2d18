#include "greentrainer/io/storage_format.hpp"

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
    if (format.name == "F64") continue;  // gguf does not decode it
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
    CHECK(numbers.insert(format.ggml_type).second);
    CHECK(find_storage_format(format.name) == &format);
    CHECK(find_storage_format(format.ggml_type) == &format);
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
