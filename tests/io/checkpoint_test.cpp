#include "greentrainer/io/checkpoint.hpp"

#include <doctest/doctest.h>

#include "greentrainer/io/safetensors_writer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

void write_one(const std::filesystem::path& path, const std::string& name, float value) {
  const std::vector<float> values = {value};
  write_safetensors(path, {TensorToWrite::values_of(name, DType::float32, {1}, std::span<const float>(values))});
}

float read_one(const Checkpoint& checkpoint, std::string_view name) {
  std::vector<float> value(1);
  checkpoint.read_as(name, std::span(value));
  return value[0];
}

std::string load_error(const TemporaryFolder& folder) {
  return error_of<LoadError>([&] { Checkpoint checkpoint(folder.path()); });
}

}  // namespace

TEST_CASE("a checkpoint of one file lists its tensors with their shapes") {
  const Checkpoint checkpoint(testing::source_folder() / "examples/data/stories260k");
  CHECK(checkpoint.files().size() == 1);
  CHECK(checkpoint.contains("model.embed_tokens.weight"));
  CHECK(checkpoint.info("model.embed_tokens.weight").shape == std::vector<Extent>{512, 64});
  CHECK(checkpoint.names().size() == checkpoint.files()[0].tensors().size());
  CHECK(has(error_of<LoadError>([&] { checkpoint.info("absent"); }), "expected tensor absent"));
}

TEST_CASE("a checkpoint of several files finds each tensor through the index") {
  TemporaryFolder folder;
  write_one(folder / "a.safetensors", "x", 1);
  write_one(folder / "b.safetensors", "y", 2);
  folder.write("model.safetensors.index.json",
               R"({"metadata": {"total_size": 8}, "weight_map": {"x": "a.safetensors", "y": "b.safetensors"}})");
  const Checkpoint checkpoint(folder.path());
  CHECK(checkpoint.files().size() == 2);
  CHECK(checkpoint.names() == std::vector<std::string>{"x", "y"});
  CHECK(read_one(checkpoint, "x") == 1.0F);
  CHECK(read_one(checkpoint, "y") == 2.0F);
  CHECK(checkpoint.info("y").file.filename() == "b.safetensors");
}

TEST_CASE("an index cannot make us read elsewhere") {
  TemporaryFolder folder;
  write_one(folder / "secret.safetensors", "x", 1);
  const TemporaryFolder model;
  for (const std::string& name :
       {"../" + folder.path().filename().string() + "/secret.safetensors", (folder / "secret.safetensors").string(),
        std::string(".."), std::string("."), std::string(""), std::string("sub\\\\x"), std::string("a\\u0000b")}) {
    model.write("model.safetensors.index.json", R"({"weight_map": {"x": ")" + name + "\"}}");
    CAPTURE(name);
    CHECK(has(load_error(model), "expected the name of a file in the same folder"));
  }
  model.write("model.safetensors.index.json", R"({"weight_map": {"x": 3}})");
  CHECK(has(load_error(model), "tensor x"));
}

TEST_CASE("indices that do not match their files") {
  TemporaryFolder folder;
  write_one(folder / "a.safetensors", "x", 1);
  write_one(folder / "b.safetensors", "x", 2);
  folder.write("model.safetensors.index.json", R"({"weight_map": {"x": "a.safetensors", "y": "a.safetensors"}})");
  CHECK(has(load_error(folder), "tensor y: expected it in a.safetensors"));
  folder.write("model.safetensors.index.json", R"({"weight_map": {"x": "absent.safetensors"}})");
  CHECK(has(load_error(folder), "absent.safetensors"));
  folder.write("model.safetensors.index.json", R"({"weight_map": {"x": "a.safetensors", "z": "b.safetensors"}})");
  CHECK(has(load_error(folder), "tensor x: expected it in one file"));
  for (const char* index : {"{}", "[]", R"({"weight_map": {}})", R"({"weight_map": 1})", "{"}) {
    folder.write("model.safetensors.index.json", index);
    CHECK(has(load_error(folder), "index.json"));
  }
}

TEST_CASE("folders with pickle files alone say how to convert them") {
  TemporaryFolder folder;
  folder.write("pytorch_model.bin", "PK\3\4");
  const auto what = load_error(folder);
  CHECK(has(what, "pytorch_model.bin"));
  CHECK(has(what, "safe_serialization=True"));
  CHECK(has(what, folder.path().string()));
}

TEST_CASE("no folder, a file, an empty folder") {
  TemporaryFolder folder;
  CHECK(has(load_error(folder), "got neither"));
  CHECK(has(error_of<LoadError>([&] { Checkpoint c(folder / "absent"); }), "nothing there"));
  CHECK(has(error_of<LoadError>([&] { Checkpoint c(folder.write("file", "x")); }), "a file"));
}
