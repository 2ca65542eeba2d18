// Models of folders with quantised weights: they load, train and are saved as what their codes stand for.

#include <fstream>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/pretrained/check_save.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::filesystem::path goldens = source_folder() / "tests/golden/quantized";

/// In the order of files.
template <Backend B>
std::vector<float> weights_of(const PretrainedModel<B>& model, ParameterId id) {
  return model.stored().as_stored(id, model.parameters()[id].download());
}

}  // namespace

TEST_CASE("a quantised folder loads as the numbers that its codes stand for, and is saved as a plain one") {
  EigenBackend<float> backend(1);
  const SafetensorsFile decoded(goldens / "decoded.safetensors");
  for (const char* name : {"nf4", "nf4-nested", "fp4", "int8", "mxfp4"}) {
    CAPTURE(name);
    const auto model = load_pretrained(goldens / name, backend);
    const TemporaryFolder folder;
    const auto saved = folder / "saved";
    {
      OutputFolder output(folder / "checked");
      check_save(model, output);
    }
    save_pretrained(model, saved);
    const Json config = read_json_file(saved / "config.json");
    CHECK_FALSE(config.contains("quantization_config"));
    CHECK(config.at("dtype") == "bfloat16");
    const auto plain = load_pretrained(saved, backend);
    for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
      CAPTURE(model.source_name(id));
      const std::vector<float> values = weights_of(model, id);
      std::vector<float> expected(values.size());
      decoded.read_as<float>(text(name, '/', model.source_name(id)), expected);
      CHECK(values == expected);
      CHECK(weights_of(plain, id) == expected);
      CHECK(plain.checkpoint().info(model.source_name(id)).dtype == DType::bfloat16);
    }
  }
}

TEST_CASE("frozen weights of a quantised folder can stay in 16 or 4 bits") {
  EigenBackend<float> backend(1);
  GraphOptions options;
  options.keeps_source_format = true;
  const auto model = load_pretrained(goldens / "nf4", backend, options);
  bool in_bfloat16 = false;
  for (const Parameter& p : model.graph().parameters())
    in_bfloat16 = in_bfloat16 || (p.format != nullptr && p.format->dtype == DType::bfloat16);
  CHECK(in_bfloat16);
}

TEST_CASE("a folder that says nothing of its codes is refused as before: they are not floating-point numbers") {
  EigenBackend<float> backend(1);
  const TemporaryFolder folder;
  std::filesystem::copy(goldens / "int8", folder.path(), std::filesystem::copy_options::recursive);
  Json config = read_json_file(folder / "config.json");
  config.erase("quantization_config");
  std::ofstream(folder / "config.json") << config;
  CHECK(error_of<Error>([&] { load_pretrained(folder.path(), backend); }) != "");
  config["quantization_config"] = {{"quant_method", "awq"}};
  std::ofstream(folder / "config.json") << config;
  CHECK(has(error_of<ConfigError>([&] { load_pretrained(folder.path(), backend); }), "got awq"));
}
