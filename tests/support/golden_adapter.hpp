#pragma once

#include <string>
#include <vector>

#include "greentrainer/data/collate.hpp"
#include "support/golden_model.hpp"
#include "support/paths.hpp"

namespace greentrainer::testing {

/// The adapters under tests/golden/adapters with what peft made of them in double precision (tests/golden/README.md).
inline const std::vector<std::string>& golden_adapter_names() {
  static const std::vector<std::string> names = {
      "opt-post-lora",        "llama-gqa-tied-lora",    "bloom-lora",
      "t5-untied-gated-lora", "opt-pre-prefix",         "llama-gqa-tied-prefix",
      "bloom-prefix",         "t5-untied-gated-prefix", "t5-two-layers-prefix"};
  return names;
}

struct GoldenAdapter : GoldenModel {
  explicit GoldenAdapter(const std::string& name)
      : GoldenModel(adapters() / name), base(model_folder(json.at("model").get<std::string>())) {}

  bool has(const std::string& tensor_name) const { return tensors.contains(tensor_name); }

  std::filesystem::path base;  ///< the model's folder

 private:
  static std::filesystem::path adapters() { return testing::source_folder() / "tests" / "golden" / "adapters"; }
  static std::filesystem::path model_folder(const std::string& model) {
    return std::filesystem::exists(adapters() / model) ? adapters() / model
                                                       : adapters().parent_path() / "models" / model;
  }
};

/// All examples in their order.
inline Batch batch_of(const std::vector<Example>& examples) {
  std::vector<std::size_t> all(examples.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  return collate(examples, all);
}

}  // namespace greentrainer::testing
