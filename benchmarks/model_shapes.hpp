#pragma once

#include <cmath>
#include <filesystem>
#include <greentrainer/core/random.hpp>
#include <greentrainer/core/workload.hpp>
#include <greentrainer/io/config_reader.hpp>
#include <greentrainer/models/architectures.hpp>
#include <string>
#include <vector>

namespace greentrainer {

/// Batches of one size: sequences of `tokens` of which `labelled` carry loss; an encoder-decoder's sources have
/// `tokens`, its targets `labelled`.
struct BatchShape {
  Extent sequences = 4, tokens = 512, labelled = 512;
};

template <class Architecture>
Workload workload_for(const Architecture&, const BatchShape& shape) {
  if constexpr (requires(const Architecture& a) { a.target_shift(); })
    return uniform_workload(shape.sequences, shape.labelled, shape.labelled, shape.tokens);
  else
    return uniform_workload(shape.sequences, shape.tokens, shape.labelled);
}

/// Calls visit(name, architecture) for each folder's config.json.
template <class Visit>
void for_each_model(const std::vector<std::string>& folders, Visit visit) {
  for (const std::string& folder : folders) {
    std::filesystem::path path(folder);
    if (!path.has_filename()) path = path.parent_path();
    KnownArchitectures::read(ConfigReader::from_file(path / "config.json"), [&](const auto& architecture) {
      visit(path.filename().string(), architecture);
      return 0;
    });
  }
}

/// Importances as they come: a few tensors are worth much, most little (log-normal, sigma 1.5).
inline std::vector<double> made_up_importance(std::size_t tensors, std::uint64_t seed) {
  CounterRandom random(seed, "importance");
  std::vector<double> importance(tensors);
  for (double& value : importance) value = std::exp(1.5 * random.normal());
  return importance;
}

}  // namespace greentrainer
