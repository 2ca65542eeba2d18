#include "greentrainer/io/gguf_writer.hpp"

#include <cstring>
#include <limits>

#include <doctest/doctest.h>

#include "greentrainer/io/gguf.hpp"
#include "greentrainer/io/json.hpp"
#include "support/gguf_bytes.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const StorageFormat* format(std::string_view name) { return find_storage_format(name); }

/// A tensor of these numbers in F32, handed over in two pieces.
GgufTensorToWrite numbers(const std::string& name, const std::vector<float>& values, std::vector<Extent> shape) {
  return {name, format("F32"), std::move(shape), [values](const ByteSink& sink) {
            const auto bytes = std::as_bytes(std::span(values));
            sink(bytes.first(4));
            sink(bytes.subspan(4));
          }};
}

std::string error_of_writing(const GgufMetadata& metadata, const std::vector<GgufTensorToWrite>& tensors) {
  const TemporaryFolder folder;
  const std::string error = error_of<SaveError>([&] { write_gguf(folder / "file.gguf", metadata, tensors); });
  CHECK(folder.entries() == 0);
  return error;
}

}  // namespace

TEST_CASE("every byte of a file is where version 3 of the format has it") {
  const TemporaryFolder folder;
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const Bytes size = write_gguf(folder / "file.gguf",
                                {{"general.architecture", std::string("llama")},
                                 {"a.bool", true},
                                 {"a.whole", std::uint32_t{7}},
                                 {"a.float", 0.5F},
                                 {"a.texts", std::vector<std::string>{"x", ""}},
                                 {"a.types", std::vector<std::int32_t>{-1, 3}},
                                 {"a.scores", std::vector<float>{-1.5F}}},
                                {numbers("b.weight", values, {2, 3}), numbers("a.bias", {7, 8}, {2})});

  GgufBytes expected(2, 7);
  expected.pair("general.architecture", "llama").pair("a.bool", GgufBytes::boolean, std::uint8_t{1});
  expected.pair("a.whole", GgufBytes::u32, std::uint32_t{7}).pair("a.float", GgufBytes::f32, 0.5F);
  expected.key("a.texts", GgufBytes::array).number(GgufBytes::string).number(std::uint64_t{2}).text("x").text("");
  expected.key("a.types", GgufBytes::array).number(GgufBytes::i32).number(std::uint64_t{2});
  expected.number(std::int32_t{-1}).number(std::int32_t{3});
  expected.key("a.scores", GgufBytes::array).number(GgufBytes::f32).number(std::uint64_t{1}).number(-1.5F);
  expected.tensor("b.weight", {3, 2}, 0, 0).tensor("a.bias", {2}, 0, 32).pad();
  for (const float value : values) expected.number(value);
  expected.pad().number(7.0F).number(8.0F).pad();
  CHECK(read_file(folder / "file.gguf") == expected.bytes());
  CHECK(size == static_cast<Bytes>(expected.bytes().size()));
  CHECK(folder.entries() == 1);
}

TEST_CASE("metadata as JSON are what the reader gives of the file, floats as their shortest decimals") {
  const TemporaryFolder folder;
  const GgufMetadata metadata = {{"general.architecture", std::string("gpt2")},
                                 {"e", 1e-5F},
                                 {"theta", 1e6F},
                                 {"flag", false},
                                 {"count", std::uint32_t{4294967295}},
                                 {"texts", std::vector<std::string>{"a b", "\xC3\xA9"}},
                                 {"types", std::vector<std::int32_t>{1, -2}},
                                 {"scores", std::vector<float>{0.1F, -3}}};
  write_gguf(folder / "file.gguf", metadata, {});
  const Json json = gguf_metadata_json(metadata);
  CHECK(GgufFile(folder / "file.gguf").metadata() == json);
  CHECK(json.at("e") == 1e-5);
  CHECK(json.at("scores")[0] == 0.1);
}

TEST_CASE("tensors of every format begin at multiples of 32, and are read back as their blocks") {
  const TemporaryFolder folder;
  std::vector<float> values(96);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.37F * static_cast<float>(i) - 9;
  std::vector<GgufTensorToWrite> tensors;
  for (const char* name : {"F16", "F32", "Q8_0", "BF16", "Q4_0"}) {
    tensors.push_back({name, format(name), {3, 32}, [name, &values](const ByteSink& sink) {
                         std::vector<std::byte> bytes(values.size() / format(name)->block * format(name)->bytes);
                         encode_blocks(*format(name), values, bytes);
                         sink(bytes);
                       }});
  }
  write_gguf(folder / "file.gguf", {{"general.architecture", std::string("x")}}, tensors);
  const GgufFile file(folder / "file.gguf");
  for (const GgufTensorToWrite& tensor : tensors) {
    CAPTURE(tensor.name);
    CHECK(file.info(tensor.name).shape == std::vector<Extent>{3, 32});
    CHECK(file.info(tensor.name).begin % 32 == 0);
    std::vector<std::byte> bytes(file.raw(tensor.name).size());
    encode_blocks(*tensor.format, values, bytes);
    CHECK(file.raw(tensor.name) == bytes);
  }
}

TEST_CASE("what is no GGUF file is refused by name, and nothing is left behind") {
  const GgufMetadata none;
  const std::vector<float> two = {1, 2};
  CHECK(has(error_of_writing({{"a", true}, {"a", false}}, {}), "metadata a: expected a name of its own, got it twice"));
  CHECK(has(error_of_writing({{"a key", true}}, {}), "metadata a key: expected a name of visible ASCII characters"));
  CHECK(has(error_of_writing(none, {numbers("t", two, {2}), numbers("t", two, {2})}), "tensor t: expected a name"));
  CHECK(has(error_of_writing(none, {numbers("t", two, {3})}), "tensor t: expected 12 bytes for shape (3), got 8"));
  CHECK(has(error_of_writing(none, {numbers("t", two, {1})}), "got more"));
  CHECK(has(error_of_writing(none, {numbers("t", two, {})}), "expected 1 to 4 dimensions"));
  CHECK(has(error_of_writing(none, {numbers("t", two, {1, 1, 1, 1, 2})}), "expected 1 to 4 dimensions"));
  CHECK(has(error_of_writing(none, {numbers("t", two, {0, 2})}), "expected 1 to 4 dimensions"));
  GgufTensorToWrite tensor = numbers("t", two, {2});
  tensor.format = format("NF4");
  CHECK(has(error_of_writing(none, {tensor}), "tensor t: expected a format that GGUF has, got NF4"));
  tensor.format = format("Q8_0");
  CHECK(has(error_of_writing(none, {tensor}), "tensor t: expected rows of a multiple of 32 elements for Q8_0, got 2"));
}

TEST_CASE("a file that cannot be written whole leaves the one that was there") {
  const TemporaryFolder folder;
  folder.write("file.gguf", "before");
  GgufTensorToWrite tensor = numbers("t", {1, 2}, {2});
  tensor.write = [](const ByteSink&) { throw LoadError("test", "the source has gone"); };
  CHECK_THROWS_AS(write_gguf(folder / "file.gguf", {}, {tensor}), LoadError);
  CHECK(read_file(folder / "file.gguf") == "before");
  CHECK(folder.entries() == 1);
  CHECK_THROWS_AS(write_gguf(folder / "no/such/file.gguf", {}, {}), SaveError);
}
