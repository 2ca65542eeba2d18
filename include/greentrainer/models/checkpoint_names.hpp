#pragma once

#include <optional>
#include <string>
#include <vector>

namespace greentrainer {

/// A name that checkpoints may have beside, or instead of, a parameter's own.
struct TiedName {
  std::string name;
  std::string parameter;
};

/// What an architecture's checkpoints hold other than its parameters under their names, as transformers reads them.
/// Patterns are globs.
struct CheckpointNames {
  /// The head's name and the embedding that transformers ties it to, unless a file has both and they differ. Nothing
  /// where config.json says that the head is not tied.
  std::optional<TiedName> head = {};
  std::vector<TiedName> copies = {};              ///< other names of a parameter: those in a file are equal
  std::vector<std::string> passed_over = {};      ///< tensors that transformers does not read, without a warning
  std::vector<std::string> kept_in_float32 = {};  ///< parameters that transformers keeps so in a float16 model
};

}  // namespace greentrainer
