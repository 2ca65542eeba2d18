#pragma once

#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/safetensors.hpp"

namespace greentrainer::testing {

/// The tiny models under tests/golden/models with what PyTorch and transformers made of them in double precision (tests/golden/README.md).
inline const std::vector<std::string>& golden_names() {
  static const std::vector<std::string> names = {"opt-pre", "opt-post", "llama-gqa-tied", "llama-mha-untied"};
  return names;
}

struct GoldenModel {
  explicit GoldenModel(const std::string& name)
      : folder(std::filesystem::path(GREENTRAINER_SOURCE_DIR) / "tests" / "golden" / "models" / name),
        tensors(folder / "golden.safetensors"),
        json(read_json_file(folder / "golden.json")) {
    for (std::size_t i = 0; i < json.at("input_ids").size(); ++i) {
      examples.push_back({json["input_ids"][i].get<std::vector<Index>>(), json["labels"][i].get<std::vector<Index>>(), {}});
    }
  }

  std::vector<double> tensor(const std::string& tensor_name) const {
    std::vector<double> values(static_cast<std::size_t>(tensors.info(tensor_name).elements()));
    tensors.read_as<double>(tensor_name, values);
    return values;
  }

  std::filesystem::path folder;
  SafetensorsFile tensors;
  Json json;
  std::vector<Example> examples;
};

/// |a - b| / |b| in the Euclidean norm.
template <class T, class U>
double relative_difference(std::span<const T> a, std::span<const U> b) {
  if (a.size() != b.size()) return INFINITY;
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += d * d;
    norm += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(difference) / std::sqrt(norm);
}
template <class T, class U>
double relative_difference(const std::vector<T>& a, const std::vector<U>& b) {
  return relative_difference(std::span<const T>(a), std::span<const U>(b));
}

/// OPT's key bias: softmax does not see it, so its gradient is zero by mathematics and rounding noise in practice.
inline bool gradient_is_zero(const std::string& parameter) { return parameter.ends_with("k_proj.bias"); }

}  // namespace greentrainer::testing
