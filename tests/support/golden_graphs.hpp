#pragma once

#include <filesystem>
#include <vector>

#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/architectures.hpp"
#include "support/paths.hpp"
#include "support/tiny_models.hpp"

namespace greentrainer::testing {

/// The graphs of all models under tests/golden/models and tests/golden/architectures, and one of an encoder-decoder
/// that no folder describes.
template <class P>
std::vector<TensorGraph<P>> golden_graphs() {
  std::vector<TensorGraph<P>> all;
  for (const char* folder : {"tests/golden/models", "tests/golden/architectures"}) {
    for (const auto& entry : std::filesystem::directory_iterator(source_folder() / folder)) {
      if (!std::filesystem::exists(entry.path() / "config.json")) continue;
      KnownArchitectures::read(ConfigReader::from_file(entry.path() / "config.json"), [&](const auto& architecture) {
        all.push_back(architecture.template graph<P>());
        return 0;
      });
    }
  }
  all.push_back(encoder_decoder_graph<P>(50, 16, 4));
  return all;
}

}  // namespace greentrainer::testing
