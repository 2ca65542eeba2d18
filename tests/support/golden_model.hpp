#pragma once

#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/safetensors.hpp"
#include "support/paths.hpp"

namespace greentrainer::testing {

/// The tiny models under tests/golden/models with what PyTorch and transformers made of them in double precision
/// (tests/golden/README.md).
inline const std::vector<std::string>& golden_names() {
  static const std::vector<std::string> names = {"opt-pre",          "opt-post",        "llama-gqa-tied",
                                                 "llama-mha-untied", "bloom",           "bloom-post",
                                                 "t5-tied-relu",     "t5-untied-gated", "t5-tied-gated"};
  return names;
}

/// Those whose padding token occurs in the texts.
inline const std::vector<std::string>& padding_golden_names() {
  static const std::vector<std::string> names = {"llama-padding-tied", "llama-padding-untied", "opt-padding"};
  return names;
}

struct GoldenModel {
  explicit GoldenModel(const std::string& name)
      : GoldenModel(testing::source_folder() / "tests" / "golden" / "models" / name) {}
  explicit GoldenModel(const std::filesystem::path& folder_)
      : folder(folder_), tensors(folder / "golden.safetensors"), json(read_json_file(folder / "golden.json")) {
    const auto ids = [&](const char* field, std::size_t i) { return json.at(field)[i].get<std::vector<Index>>(); };
    for (std::size_t i = 0; i < json.at("labels").size(); ++i) {
      if (json.contains("source_ids"))
        examples.push_back(encoder_decoder_example(ids("source_ids", i), ids("labels", i), {.start = 0, .pad = 0}));
      else
        examples.push_back({ids("input_ids", i), ids("labels", i), {}});
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

/// The elements, of a parameter of `size`, whose gradient is zero by mathematics and rounding noise in practice: biases
/// of keys, which softmax does not see. OPT has them by themselves; of BLOOM's fused bias they are the second third in
/// each head.
inline std::vector<bool> zero_gradients(const GoldenModel& golden, const std::string& parameter, std::size_t size) {
  std::vector<bool> zero(size, parameter.ends_with("k_proj.bias"));
  if (!parameter.ends_with("query_key_value.bias")) return zero;
  const Json config = read_json_file(golden.folder / "config.json");
  const auto head_dim = config.at("hidden_size").get<std::size_t>() / config.at("n_head").get<std::size_t>();
  for (std::size_t i = 0; i < size; ++i) zero[i] = i / head_dim % 3 == 1;
  return zero;
}

/// The elements that are marked, or those that are not.
template <class T>
std::vector<T> only(const std::vector<bool>& marked, bool which, const std::vector<T>& values) {
  std::vector<T> some;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (marked[i] == which) some.push_back(values[i]);
  }
  return some;
}

}  // namespace greentrainer::testing
