#pragma once

// reader: io/config_reader.hpp io/config_reader_inl.hpp

#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/model.hpp"

namespace greentrainer::fuzz {

struct GraphAlone {};

/// A model's config.json, and the graph that it describes. Nothing is allocated for weights.
inline void config(std::string_view input) {
  const ConfigReader reader(parse_json(input, "config.json"), "config.json");
  KnownArchitectures::read(reader, [](const auto& architecture) {
    const auto graph = architecture.template graph<GraphAlone>();
    return graph.parameters().size() + facts_of(architecture).model_type.size();
  });
}

}  // namespace greentrainer::fuzz
