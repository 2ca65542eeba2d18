#include "greentrainer/io/safetensors_writer.hpp"

#include <doctest/doctest.h>

#include "greentrainer/io/safetensors.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("what is written is read back: shapes, types, numbers, metadata") {
  TemporaryFolder folder;
  const std::vector<float> weights = {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F};
  const std::vector<double> scale = {0.5};
  const std::vector<std::byte> flags(3, std::byte{1});
  TensorInfo mask{"mask", "BOOL", std::nullopt, {3}, {}, 0, 3};
  const auto path = folder / "model.safetensors";
  write_safetensors(path,
                    {TensorToWrite::values_of("z.weight", DType::bfloat16, {2, 3}, std::span<const float>(weights)),
                     TensorToWrite::copy_of(mask, flags),
                     TensorToWrite::values_of("scale", DType::float64, {}, std::span<const double>(scale))});
  const SafetensorsFile file(path);
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.info("z.weight").dtype == DType::bfloat16);
  CHECK(file.info("z.weight").shape == std::vector<Extent>{2, 3});
  CHECK(file.info("mask").dtype_name == "BOOL");
  CHECK(file.metadata().at("format") == "pt");
  std::vector<float> read(6);
  file.read_as("z.weight", std::span(read));
  CHECK(read == weights);
  std::vector<double> one(1);
  file.read_as("scale", std::span(one));
  CHECK(one == scale);

  std::uint64_t header = 0;
  const auto bytes = read_file(path);
  std::memcpy(&header, bytes.data(), 8);
  CHECK(header % 8 == 0);
  CHECK(folder.entries() == 1);
}

TEST_CASE("every tensor begins at a multiple of its element's size, in the order of the library safetensors") {
  TemporaryFolder folder;
  const std::vector<double> numbers(3, 1);
  const auto tensor = [&](const char* name, DType dtype, Extent count) {
    return TensorToWrite::values_of(name, dtype, {count}, std::span(numbers).first(static_cast<std::size_t>(count)));
  };
  const std::vector<std::byte> flags(3, std::byte{1});
  write_safetensors(folder / "file", {TensorToWrite::copy_of({"mask", "BOOL", std::nullopt, {3}, {}, 0, 3}, flags),
                                      tensor("b.bias", DType::float16, 3), tensor("scale", DType::float64, 1),
                                      tensor("b.weight", DType::float32, 1), tensor("a.weight", DType::float32, 2)});
  const SafetensorsFile file(folder / "file");
  std::vector<std::string> order;
  for (const TensorInfo& info : file.tensors()) {
    order.push_back(info.name);
    CHECK(info.begin % safetensors_element_size(info.dtype_name).value() == 0);
  }
  CHECK(order == std::vector<std::string>{"scale", "a.weight", "b.weight", "b.bias", "mask"});
  std::uint64_t header = 0;
  std::memcpy(&header, read_file(folder / "file").data(), 8);
  CHECK(read_file(folder / "file").substr(8, 60).starts_with(R"({"__metadata__":{"format":"pt"},"scale":{)"));
  CHECK(header % 8 == 0);
}

TEST_CASE("copying every tensor of a file gives the same bytes for each") {
  TemporaryFolder folder;
  const SafetensorsFile source(testing::source_folder() / "examples/data/stories260k/model.safetensors");
  std::vector<TensorToWrite> tensors;
  for (const auto& tensor : source.tensors())
    tensors.push_back(TensorToWrite::copy_of(tensor, source.raw(tensor.name)));
  write_safetensors(folder / "copy", tensors);
  const SafetensorsFile copy(folder / "copy");
  REQUIRE(copy.tensors().size() == source.tensors().size());
  for (const auto& tensor : source.tensors()) {
    const auto a = source.raw(tensor.name);
    const auto b = copy.raw(tensor.name);
    CHECK(copy.info(tensor.name).shape == tensor.shape);
    CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  }
}

TEST_CASE("a copied tensor is written with the bytes that it had when it was copied") {
  TemporaryFolder folder;
  std::vector<float> weights(3, 1.0F);
  const auto tensor = TensorToWrite::values_of("w", DType::bfloat16, {3}, std::span<const float>(weights));
  CHECK(tensor.bytes() == 6);
  write_safetensors(folder / "then", {tensor});
  const TensorToWrite copy = tensor.copied();
  weights.assign(3, 2.0F);
  write_safetensors(folder / "now", {tensor});
  write_safetensors(folder / "copy", {copy});
  CHECK(read_file(folder / "copy") == read_file(folder / "then"));
  CHECK(read_file(folder / "copy") != read_file(folder / "now"));
}

TEST_CASE("an error while writing leaves the file that was there") {
  TemporaryFolder folder;
  const auto path = folder.write("model.safetensors", "precious");
  const std::vector<float> three(3);
  const auto tensor = [&](std::string name, std::vector<Extent> shape) {
    return TensorToWrite::values_of(std::move(name), DType::float32, std::move(shape), std::span<const float>(three));
  };
  CHECK(has(error_of<SaveError>([&] {
              write_safetensors(path, {tensor("a", {3}), tensor("b", {4})});
            }),
            "tensor b: expected 16 bytes for shape (4), got 12"));
  CHECK(has(error_of<SaveError>([&] { write_safetensors(path, {tensor("b", {2})}); }), "got more"));
  CHECK(has(error_of<SaveError>([&] { write_safetensors(path, {tensor("a", {3}), tensor("a", {3})}); }), "tensor a"));
  CHECK_THROWS_AS(write_safetensors(path, {tensor("a", {-3})}), SaveError);
  CHECK_THROWS_AS(write_safetensors(path, {tensor("__metadata__", {3})}), SaveError);
  CHECK_THROWS_AS(write_safetensors(path, {{"a", "F3", {3}, [](const ByteSink&) {}}}), SaveError);
  CHECK_THROWS_AS(
      write_safetensors(path, {{"a", "F32", {3}, [](const ByteSink&) { throw NumericalError("test", "a NaN"); }}}),
      NumericalError);
  CHECK(read_file(path) == "precious");
  CHECK(folder.entries() == 1);
}
