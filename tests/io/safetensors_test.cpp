#include "greentrainer/io/safetensors.hpp"

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

std::string length_of(std::uint64_t size) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes;
}

/// A file with this header and so many bytes of data: 0, 1, 2, ...
std::string file_of(const std::string& header, std::size_t data) {
  std::string bytes = length_of(header.size()) + header;
  for (std::size_t i = 0; i < data; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

std::string load_error(const std::string& bytes) {
  TemporaryFolder folder;
  const auto path = folder.write("bad.safetensors", bytes);
  std::string what = error_of<LoadError>([&] { SafetensorsFile file(path); });
  CAPTURE(what);
  CHECK(has(what, "bad.safetensors"));
  return what;
}

}  // namespace

TEST_CASE("a file written byte by byte is read as it stands") {
  TemporaryFolder folder;
  // Spaces after the header, tensors listed in another order than they lie, data that is not aligned, an integer
  // tensor, an empty one.
  const std::string header =
      R"({"b":{"dtype":"F32","shape":[1,2],"data_offsets":[3,11]},"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]},)"
      R"("none":{"dtype":"F16","shape":[0,5],"data_offsets":[11,11]},"__metadata__":{"format":"pt"}}  )";
  const float values[] = {1.5F, -3.0F};
  std::string data(3, '\1');
  data.append(reinterpret_cast<const char*>(values), sizeof values);
  const SafetensorsFile file(folder.write("a.safetensors", length_of(header.size()) + header + data));

  REQUIRE(file.tensors().size() == 3);
  CHECK(file.tensors()[0].name == "a");
  CHECK(file.tensors()[1].name == "b");
  CHECK(file.tensors()[1].shape == std::vector<Extent>{1, 2});
  CHECK(file.info("b").dtype == DType::float32);
  CHECK_FALSE(file.info("a").dtype);
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.raw("a").size() == 3);
  CHECK(file.raw("none").empty());
  std::vector<std::byte> part(5);
  file.raw_part("b", 3, part);
  CHECK(std::ranges::equal(part, std::as_bytes(std::span(values)).subspan(3)));
  CHECK(has(error_of<ShapeError>([&] { file.raw_part("b", 4, part); }), "expected at least 4 + 5 bytes, got 8"));
  std::vector<double> read(2);
  file.read_as("b", std::span(read));
  CHECK(read == std::vector<double>{1.5, -3.0});

  std::vector<float> wrong(3);
  CHECK(has(error_of<ShapeError>([&] { file.read_as("b", std::span(wrong)); }),
            "tensor b: expected 3 elements, got 2 of shape (1, 2)"));
  CHECK(has(error_of<LoadError>([&] { file.read_as("a", std::span(wrong)); }),
            "tensor a: expected F64, F32, F16 or BF16, got BOOL"));
  CHECK(has(error_of<LoadError>([&] { file.info("absent"); }), "tensor absent"));
}

TEST_CASE("scalars, empty files of tensors, and types of the future") {
  TemporaryFolder folder;
  CHECK(SafetensorsFile(folder.write("none", file_of("{}", 0))).tensors().empty());
  const SafetensorsFile scalar(
      folder.write("scalar", file_of(R"({"x":{"dtype":"F16","shape":[],"data_offsets":[0,2]}})", 2)));
  CHECK(scalar.info("x").elements() == 1);
  const SafetensorsFile future(
      folder.write("future", file_of(R"({"x":{"dtype":"F4","shape":[8],"data_offsets":[0,4]}})", 4)));
  std::vector<float> eight(8);
  CHECK_THROWS_AS(future.read_as("x", std::span(eight)), LoadError);
}

TEST_CASE("truncated files and lengths that lie") {
  CHECK(has(load_error(""), "truncated"));
  CHECK(has(load_error("1234567"), "truncated"));
  CHECK(has(load_error(length_of(10) + "{}"), "truncated"));
  CHECK(has(load_error(length_of(~std::uint64_t{0}) + "{}"), "at most"));
  CHECK(has(load_error(length_of(SafetensorsFile::max_header + 1) + "{}"), "at most"));
  CHECK(has(load_error(length_of(0)), "begins with {"));
  CHECK(has(load_error("PK\3\4 this is a zip file, not tensors"), "at most"));
  CHECK(has(load_error(file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7)), "truncated"));
}

TEST_CASE("headers that are not what they should be") {
  for (const char* header :
       {"[]", " {}", "{", "{\"x\":", "{\"x\": 1}", "{\"x\": []}", "{\"x\": {}}",                          // structure
        R"({"x":{"dtype":"F32","shape":[1]}})", R"({"x":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})",  // fields
        R"({"x":{"dtype":"F32","shape":{},"data_offsets":[0,4]}})",
        R"({"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})",
        R"({"x":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})",
        R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0]}})",
        R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})",
        R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})",
        R"({"x":{"dtype":"F32","shape":[1],"data_offsets":["0","4"]}})", R"({"__metadata__":[]})",
        R"({"__metadata__":{"a":1}})", "{\"\xff\": 1}"}) {
    CAPTURE(header);
    CHECK_FALSE(load_error(file_of(header, 4)).empty());
  }
  CHECK(has(load_error(file_of(std::string(200, '{'), 0)), "nested"));
}

TEST_CASE("offsets beyond the end, backwards, overlapping, with gaps, or not all of the file") {
  const auto one = [](const char* offsets, std::size_t data) {
    return file_of(std::string(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":)") + offsets + "}}", data);
  };
  CHECK(has(load_error(one("[0,8]", 4)), "tensor x"));
  CHECK(has(load_error(one("[4,0]", 4)), "tensor x"));
  CHECK(has(load_error(one("[18446744073709551612,18446744073709551615]", 4)), "tensor x"));
  CHECK(has(load_error(one("[9223372036854775806,9223372036854775807]", 4)), "tensor x"));
  CHECK(has(load_error(one("[0,3]", 3)), "expected 4 bytes for shape (1) of F32, got 3"));
  CHECK(has(load_error(one("[0,4]", 5)), "expected 4 bytes of data, got 5"));
  CHECK(has(load_error(one("[1,5]", 5)), "expected its data to begin at byte 0"));
  const auto two = [](const char* second, std::size_t data) {
    return file_of(
        std::string(
            R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":)") +
            second + "}}",
        data);
  };
  CHECK(has(load_error(two("[0,4]", 4)), "tensor y"));  // overlap
  CHECK(has(load_error(two("[2,6]", 6)), "tensor y"));
  CHECK(has(load_error(two("[5,9]", 9)), "tensor y"));  // gap
}

TEST_CASE("shapes whose product overflows are refused") {
  const auto shaped = [](const char* shape) {
    return file_of(std::string(R"({"x":{"dtype":"F32","shape":)") + shape + R"(,"data_offsets":[0,4]}})", 4);
  };
  CHECK(has(load_error(shaped("[4294967296,4294967296,1]")), "tensor x"));  // 2^64: wraps to 0
  CHECK(has(load_error(shaped("[4611686018427387905,1]")), "tensor x"));    // times 4 bytes: wraps to 4
  CHECK(has(load_error(shaped("[9223372036854775807,3]")), "tensor x"));
  CHECK(has(load_error(shaped("[18446744073709551615]")), "tensor x"));
  CHECK(has(load_error(shaped("[0,9223372036854775807,9223372036854775807]")), "tensor x"));
}

TEST_CASE("a tensor name that stands twice is refused") {
  CHECK(has(
      load_error(file_of(
          R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
          4)),
      "\"x\" twice"));
}

TEST_CASE("every truncation of a good file is an error, never a crash") {
  const auto good = file_of(
      R"({"__metadata__":{"format":"pt"},"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"y":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]}})",
      12);
  TemporaryFolder folder;
  CHECK_NOTHROW(SafetensorsFile(folder.write("good", good)));
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_THROWS_AS(SafetensorsFile(folder.write("cut", good.substr(0, size))), LoadError);
}
