#pragma once

#include <memory>
#include <vector>

#include "greentrainer/models/adapters.hpp"
#include "support/tiny_models.hpp"

namespace greentrainer::testing {

/// Two models with the same numbers: random ones, as a storage format has them. `stored` keeps what it can in the
/// format, `decoded` keeps elements.
template <Backend B>
struct StoredAndDecodedModels {
  using T = typename B::Scalar;

  StoredAndDecodedModels(B& backend, TensorGraph<B> graph, const ModelFacts& facts, const StorageFormat& format)
      : decoded(backend, graph, facts), stored(backend, in_format(graph, format), facts) {
    randomize(decoded, 11);
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      std::vector<T> values = decoded.parameters()[id].download();
      if (!stored.parameters().is_stored(id)) {
        stored.parameters()[id].upload(values);
        continue;
      }
      auto& to = stored.parameters().stored_bytes(id);
      std::vector<std::byte> bytes(static_cast<std::size_t>(to.bytes()));
      encode_blocks(format, std::vector<float>(values.begin(), values.end()), bytes);
      to.upload(bytes);
      decode_blocks<T>(format, bytes, values);
      decoded.parameters()[id].upload(values);
    }
  }

  Model<B> decoded;
  Model<B> stored;

 private:
  static TensorGraph<B> in_format(TensorGraph<B> graph, const StorageFormat& format) {
    store_weights(graph, format);
    return graph;
  }
};

}  // namespace greentrainer::testing
