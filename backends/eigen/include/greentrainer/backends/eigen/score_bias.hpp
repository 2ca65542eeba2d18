#pragma once

#include <vector>

#include "greentrainer/backends/eigen/attention_panels.hpp"

namespace greentrainer::eigen {

/// The relative position bias of an attention laid out by distance, a query's position less a key's: what a row of a
/// panel gets then lies side by side, and so does what it adds to the gradient. Without such a bias there are no
/// entries.
class Distances {
 public:
  Distances(const AttentionShape& shape, Extent panel_width)
      : farthest_ahead_(std::max<Extent>(1, shape.keys.max_length)) {
    if (shape.relative.buckets == 0) return;
    const Extent positions = shape.causal || shape.positions != nullptr
                                 ? std::max(shape.queries.max_length, shape.keys.max_length)
                                 : shape.queries.max_length;
    // What fills up a panel is further away than any query.
    for (Extent e = 0; e < farthest_ahead_ + positions + panel_width; ++e) {
      buckets_.push_back(static_cast<Index>(relative_bucket(shape.relative, farthest_ahead_ - e)));
    }
  }

  Extent size() const { return static_cast<Extent>(buckets_.size()); }
  Extent bucket(Extent entry) const { return buckets_[static_cast<std::size_t>(entry)]; }
  /// The entry of a query and a key; those of the queries that follow come after it.
  Extent entry(Extent query_position, Extent key) const { return farthest_ahead_ + query_position - key; }

 private:
  Extent farthest_ahead_;
  std::vector<Index> buckets_;
};

/// What one head adds to its scaled scores.
template <class T>
struct HeadBias {
  const Distances& distances;
  T slope = 0;                     ///< ALiBi's, times the key's position
  const T* by_distance = nullptr;  ///< relative bias

  bool any() const { return slope != T(0) || by_distance != nullptr; }

  /// scores = scale * scores + bias.
  void apply(const QueryPanel& panel, T* scores, T scale) const {
    const bool dense = panel.is_dense();
    for (Extent j = 0; j < panel.keys; ++j) {
      auto row = row_of(scores, j);
      row = row * scale + slope * static_cast<T>(j);
      if (by_distance == nullptr) continue;
      if (dense) {
        row += across(by_distance + distances.entry(panel.position(0), j));
      } else {
        for (Extent i = 0; i < panel.count; ++i) row[i] += by_distance[distances.entry(panel.position(i), j)];
      }
    }
  }
  /// sums, by distance, += the row of a panel that belongs to key j.
  void add_by_distance(const QueryPanel& panel, Extent j, const Across<T>& row, T* sums) const {
    if (panel.is_dense()) {
      across(sums + distances.entry(panel.position(0), j)) += row;
    } else {
      for (Extent i = 0; i < panel.count; ++i) sums[distances.entry(panel.position(i), j)] += row[i];
    }
  }
  /// The same for one query at this position: scores of `keys` keys side by side.
  void apply(Extent position, Extent keys, T* scores, T scale) const {
    for (Extent j = 0; j < keys; ++j) {
      scores[j] = scores[j] * scale + slope * static_cast<T>(j);
      if (by_distance != nullptr) scores[j] += by_distance[distances.entry(position, j)];
    }
  }
};

/// The biases of all heads, for the time of one call.
template <class T>
class ScoreBias {
 public:
  /// `table` (buckets, heads); `scratch` for heads * distances.size() elements.
  ScoreBias(const AttentionShape& shape, const Distances& distances, Matrix<const T> table, T* scratch)
      : shape_(shape), distances_(distances), by_distance_(scratch) {
    for (Extent entry = 0; entry < distances.size(); ++entry) {
      const T* biases = table.data + distances.bucket(entry) * table.stride;
      for (Extent h = 0; h < shape.heads; ++h) by_distance_[h * distances.size() + entry] = biases[h];
    }
  }

  HeadBias<T> operator()(Extent head) const {
    return {.distances = distances_,
            .slope = shape_.alibi ? static_cast<T>(alibi_slope(shape_.heads, head)) : T(0),
            .by_distance = distances_.size() > 0 ? by_distance_ + head * distances_.size() : nullptr};
  }

 private:
  const AttentionShape& shape_;
  const Distances& distances_;
  T* by_distance_;
};

}  // namespace greentrainer::eigen
