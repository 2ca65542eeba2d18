#include "greentrainer/io/gguf.hpp"

#include <chrono>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "greentrainer/io/json.hpp"
#include "support/gguf_bytes.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// The error that opening these bytes gives, or "". It must come soon, on a busy machine and with sanitizers, too.
std::string error_of_file(const std::string& bytes) {
  const TemporaryFolder folder;
  const auto path = folder.write("x.gguf", bytes);
  const auto start = std::chrono::steady_clock::now();
  const std::string error = error_of<LoadError>([&] { GgufFile file(path); });
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
  return error;
}
std::string error_of_file(const GgufBytes& file) { return error_of_file(file.bytes()); }

/// Two tensors behind some metadata.
GgufBytes whole_file() {
  GgufBytes file(2, 3);
  file.pair("general.architecture", "llama").pair("llama.block_count", GgufBytes::u32, std::uint32_t{2});
  file.key("names", GgufBytes::array).number(GgufBytes::string).number(std::uint64_t{2}).text("a").text("bc");
  file.tensor("first.weight", {2, 3}, 0, 0).tensor("second.weight", {32}, 8, 32).pad();
  for (int i = 0; i < 6; ++i) file.number(static_cast<float>(i));
  file.pad().data(std::string("\x00\x3c", 2)).data(std::string(32, '\x02')).pad();  // scale 1, 32 times 2
  return file;
}

}  // namespace

TEST_CASE("metadata of every type of value, and tensors with dimensions reversed") {
  const TemporaryFolder folder;
  GgufBytes file(0, 14);
  file.pair("u8", GgufBytes::u8, std::uint8_t{255}).pair("i8", GgufBytes::i8, std::int8_t{-128});
  file.pair("u16", GgufBytes::u16, std::uint16_t{65535}).pair("i16", GgufBytes::i16, std::int16_t{-32768});
  file.pair("u32", GgufBytes::u32, std::uint32_t{4294967295}).pair("i32", GgufBytes::i32, std::int32_t{-7});
  file.pair("u64", GgufBytes::u64, std::uint64_t{18446744073709551615U});
  file.pair("i64", GgufBytes::i64, std::numeric_limits<std::int64_t>::min());
  file.pair("f32", GgufBytes::f32, 1e-5F).pair("f64", GgufBytes::f64, 0.1);
  file.pair("yes", GgufBytes::boolean, std::uint8_t{1}).pair("text", "x\0y");
  file.pair("empty", "");
  file.key("list", GgufBytes::array).number(GgufBytes::i16).number(std::uint64_t{2});
  file.number(std::int16_t{-1}).number(std::int16_t{2});
  const GgufFile read(folder.write("types.gguf", file.bytes()));
  const Json& json = read.metadata();
  CHECK(json["u8"] == 255);
  CHECK(json["i8"] == -128);
  CHECK(json["u16"] == 65535);
  CHECK(json["i16"] == -32768);
  CHECK(json["u32"] == 4294967295U);
  CHECK(json["i32"] == -7);
  CHECK(json["u64"] == 18446744073709551615U);
  CHECK(json["i64"] == std::numeric_limits<std::int64_t>::min());
  CHECK(json["f32"] == 1e-5);  // not 9.999999747378752e-06
  CHECK(json["f64"] == 0.1);
  CHECK(json["yes"] == true);
  CHECK(json["text"] == "x");
  CHECK(json["empty"] == "");
  CHECK(json["list"] == Json({-1, 2}));

  const GgufFile tensors(folder.write("tensors.gguf", whole_file().bytes()));
  REQUIRE(tensors.tensors().size() == 2);
  CHECK(tensors.info("first.weight").shape == std::vector<Extent>{3, 2});
  CHECK(tensors.info("second.weight").dtype_name == "Q8_0");
  std::vector<float> values(6);
  tensors.read_part_as<float>("first.weight", 0, values);
  CHECK(values == std::vector<float>{0, 1, 2, 3, 4, 5});
  std::vector<double> some(2);
  tensors.read_part_as<double>("first.weight", 3, some);
  CHECK(some == std::vector<double>{3, 4});
  values.resize(32);
  tensors.read_part_as<float>("second.weight", 0, values);
  CHECK(values == std::vector<float>(32, 2.0F));
  values.resize(16);
  CHECK_THROWS_AS(tensors.read_part_as<float>("second.weight", 0, values), ShapeError);
  CHECK(
      has(error_of<LoadError>([&] { tensors.info("third"); }), "tensor third: expected it in the file, got 2 others"));
}

TEST_CASE("a file that is no GGUF file of a version that is read says so") {
  CHECK(has(error_of_file(std::string()), "expected 4 bytes \"GGUF\""));
  CHECK(has(error_of_file("GGU"), "x.gguf: expected 4 bytes \"GGUF\""));
  CHECK(has(error_of_file("{\"a\": 1}, which is JSON"), "begins with GGUF; is this a GGUF file?"));
  CHECK(has(error_of_file(GgufBytes(0, 0, 1)), "expected version 2 or 3 of the format, got 1"));
  CHECK(has(error_of_file(GgufBytes(0, 0, 3U << 24)), "a big-endian file"));
  CHECK(error_of_file(GgufBytes(0, 0, 2)).empty());
}

TEST_CASE("sizes that lie are refused by place before anything is allocated") {
  constexpr std::uint64_t huge = std::uint64_t{1} << 62;
  CHECK(has(error_of_file(GgufBytes(huge, 0)), "expected the number of tensors of at most 65536, got"));
  CHECK(has(error_of_file(GgufBytes(60000, 0)), "within the 8 bytes that are left of the file, got 60000"));
  CHECK(has(error_of_file(GgufBytes(0, huge)), "expected the number of metadata entries of at most"));
  CHECK(has(error_of_file(GgufBytes(0, 5)), "expected the number of metadata entries within the 0 bytes"));
  CHECK(has(error_of_file(GgufBytes(0, 1).number(huge).pad(64)), "metadata entry 0: expected a key of at most 1024"));
  const auto text_of = [](std::uint64_t size) {
    return GgufBytes(0, 1).key("general.name", GgufBytes::string).number(size).data("short");
  };
  CHECK(has(error_of_file(text_of(huge)), "metadata general.name: expected a text of at most 16777216 bytes, got 46"));
  CHECK(has(error_of_file(text_of(16777216)), "metadata general.name: expected a text within the 5 bytes"));
  CHECK(has(error_of_file(text_of(6)), "general.name: expected a text within the 5 bytes that are left of the file"));
  const auto array_of = [](std::uint32_t type, std::uint64_t size) {
    return GgufBytes(0, 1).key("list", GgufBytes::array).number(type).number(size).data("12345678");
  };
  CHECK(has(error_of_file(array_of(GgufBytes::u8, huge)), "metadata list: expected the length of an array of at most"));
  CHECK(has(error_of_file(array_of(GgufBytes::u8, 9)), "metadata list: expected the length of an array within the 8"));
  CHECK(has(error_of_file(array_of(GgufBytes::u64, 2)), "got 2 of at least 8 bytes"));
  CHECK(has(error_of_file(array_of(GgufBytes::array, 1)), "values of types 0 to 12 that are no arrays, got 9"));
  CHECK(has(error_of_file(array_of(77, 1)), "got 77"));
}

TEST_CASE("arrays have a bound together: a header cannot ask for gigabytes of memory") {
  constexpr std::uint64_t half = GgufReader::max_elements / 2 + 1;
  GgufBytes file(0, 2);
  for (const char* key : {"a", "b"}) {
    file.key(key, GgufBytes::array).number(GgufBytes::u8).number(half).data(std::string(half, '\1'));
  }
  CHECK(has(error_of_file(file), "metadata b: expected the length of an array of at most"));
}

TEST_CASE("values and names that are none") {
  CHECK(has(error_of_file(GgufBytes(0, 1).pair("x", 13, std::uint64_t{0})), "metadata x: expected a type of value"));
  CHECK(has(error_of_file(GgufBytes(0, 1).pair("x", GgufBytes::boolean, std::uint8_t{2})), "0 or 1 for false or true"));
  CHECK(has(error_of_file(GgufBytes(0, 2).pair("x", "").pair("x", "")), "metadata x: expected the key once"));
  CHECK(has(error_of_file(GgufBytes(0, 1).pair("", "value")), "expected a key of visible ASCII characters"));
  CHECK(has(error_of_file(GgufBytes(0, 1).pair("a\nb", "value")), "expected a key of visible ASCII characters"));
  const auto aligned = [](std::uint32_t alignment) {
    return GgufBytes(0, 1).pair("general.alignment", GgufBytes::u32, alignment);
  };
  for (const std::uint32_t bad : {0U, 3U, 48U, 1U << 21}) {
    CHECK(has(error_of_file(aligned(bad)), "metadata general.alignment: expected a power of two"));
  }
  CHECK(error_of_file(aligned(64).pad(64)).empty());
  CHECK(has(error_of_file(GgufBytes(0, 1).pair("general.alignment", "32")), "expected a power of two from 1"));
}

TEST_CASE("tensors are refused by name: dimensions, types, places") {
  const auto one = [](const std::vector<std::uint64_t>& dimensions, std::uint32_t type, std::uint64_t offset) {
    return GgufBytes(1, 0).tensor("w", dimensions, type, offset).pad().data(std::string(64, '\0'));
  };
  CHECK(error_of_file(one({4, 4}, 0, 0)).empty());
  CHECK(has(error_of_file(one({}, 0, 0)), "tensor w: expected 1 to 4 dimensions, got 0"));
  CHECK(has(error_of_file(one({1, 1, 1, 1, 1}, 0, 0)), "tensor w: expected 1 to 4 dimensions, got 5"));
  CHECK(has(error_of_file(one({0, 4}, 0, 0)), "tensor w: expected dimensions from 1"));
  CHECK(has(error_of_file(one({std::uint64_t{1} << 63}, 0, 0)), "tensor w: expected dimensions from 1"));
  CHECK(has(error_of_file(one({std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, 0)), "is the file truncated?"));
  CHECK(has(error_of_file(one({17}, 0, 0)), "tensor w: expected data up to byte 68, got 64"));
  CHECK(has(error_of_file(one({8}, 0, 0)), "expected 32 bytes of data, got 64; is the file damaged?"));
  CHECK(has(error_of_file(one({16}, 11, 0)), "got type 11, Q3_K"));
  CHECK(has(error_of_file(one({16}, 99, 0)), "BF16, got type 99"));
  CHECK(has(error_of_file(one({16}, 8, 0)), "rows of a multiple of 32 elements for Q8_0, got 16"));
  CHECK(has(error_of_file(one({16}, 0, 16)), "an offset that is a multiple of 32, got 16"));
  CHECK(has(error_of_file(one({16}, 0, 32)), "tensor w: expected its data to begin at byte 0"));
  CHECK(has(error_of_file(one({16}, 0, std::uint64_t{1} << 40)), "tensor w: expected data within the file's"));
  const auto two = [](std::string_view name, std::uint64_t offset) {
    return GgufBytes(2, 0).tensor("w", {8}, 0, 0).tensor(name, {8}, 0, offset).pad().data(std::string(64, '\0'));
  };
  CHECK(error_of_file(two("v", 32)).empty());
  CHECK(has(error_of_file(two("w", 32)), "tensor w: expected the name once"));
  CHECK(has(error_of_file(two("v", 0)), "expected its data to begin at byte 32, behind the tensor before it, got 0"));
  CHECK(has(error_of_file(two("v", 64)), "tensor v: expected its data to begin at byte 32"));
}

TEST_CASE("a file that is cut anywhere is refused") {
  const std::string bytes = whole_file().bytes();
  REQUIRE(error_of_file(bytes).empty());
  const std::size_t needed = bytes.size() - 30;  // the last tensor ends there, the rest is padding
  const TemporaryFolder folder;
  for (std::size_t size = 0; size < needed; ++size) {
    CAPTURE(size);
    const auto path = folder.write("cut.gguf", bytes.substr(0, size));
    CHECK(error_of<LoadError>([&] { GgufFile file(path); }).starts_with("[gguf]"));
  }
}

TEST_CASE("a flipped bit of the header is refused or shows in what was read") {
  const std::string bytes = whole_file().bytes();
  const TemporaryFolder folder;
  const GgufFile original(folder.write("whole.gguf", bytes));
  const auto same_tensors = [&](const GgufFile& file) {
    return std::ranges::equal(file.tensors(), original.tensors(), [](const TensorInfo& a, const TensorInfo& b) {
      return a.name == b.name && a.dtype_name == b.dtype_name && a.shape == b.shape && a.begin == b.begin;
    });
  };
  const std::size_t header = bytes.find("second.weight") + 13 + 4 + 8 + 4 + 8;
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < 8 * header; ++bit) {
    CAPTURE(bit);
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    const auto path = folder.write("flipped.gguf", flipped);
    try {
      const GgufFile file(path);
      const bool version = bit / 8 == 4;                                  // 2 is read as 3 is
      const bool type = bit / 8 == bytes.find("llama.block_count") + 17;  // the same number as another type
      CHECK((version || type || file.metadata() != original.metadata() || !same_tensors(file)));
    } catch (const LoadError&) {
      ++refused;
    }
  }
  CHECK(refused > 4 * header);
}

TEST_CASE("a file that becomes shorter while it is open gives an error, not other numbers") {
  const TemporaryFolder folder;
  const auto path = folder.write("x.gguf", whole_file().bytes());
  const GgufFile file(path);
  std::filesystem::resize_file(path, 200);
  std::vector<float> values(32);
  CHECK_THROWS_AS(file.read_part_as<float>("second.weight", 0, values), LoadError);
}
