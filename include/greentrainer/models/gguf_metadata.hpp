#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/io/gguf_writer.hpp"
#include "greentrainer/models/causal_decoder.hpp"

namespace greentrainer {

/// A decoder as a GGUF file has it: the inverse of gguf_config.
struct GgufModel {
  std::string architecture = {};    ///< general.architecture
  CausalDecoder decoder = {};       ///< the same, with the forms that tensors have in such a file
  GgufMetadata metadata = {};       ///< the keys of the architecture
  std::vector<float> factors = {};  ///< of rope_freqs.weight; empty: the file has no such tensor
};

/// Throws ConfigError naming `source`: for a model type that is none of GGUF's architectures which can be read again,
/// a tensor that GGUF has no name for, and a setting that the metadata cannot say. That is found by reading them: the
/// model that they describe must be the one that was given.
GgufModel gguf_model(const CausalDecoder& decoder, const std::string& source);

/// The first member by which two decoders would compute different numbers, rotary embeddings apart from what float32
/// loses; nothing where there is none. For messages: "window: 4096 and 0".
std::optional<std::string> difference_between(const CausalDecoder& one, const CausalDecoder& other);

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/models/gguf_metadata_inl.hpp"
#endif
