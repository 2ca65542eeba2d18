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

/// What becomes of one head's scaled scores: a cap, and what is added to them.
template <class T>
struct HeadBias {
  const Distances& distances;
  T cap = 0;                       ///< scores become cap * tanh(score / cap); 0: they stay
  T slope = 0;                     ///< ALiBi's, times the key's position
  const T* by_distance = nullptr;  ///< relative bias

  bool any() const { return cap != T(0) || slope != T(0) || by_distance != nullptr; }

  /// scores = capped(scale * scores) + bias. `slopes` of the cap, a panel, unless null: 1 - tanh^2.
  void apply(const QueryPanel<T>& panel, T* scores, T scale, T* slopes = nullptr) const {
    const bool dense = panel.is_dense();
    for (Extent j = 0; j < panel.keys; ++j) {
      const Extent key = panel.begin + j;
      auto row = row_of(scores, j);
      if (cap == T(0)) {
        row = row * scale + slope * static_cast<T>(key);
      } else {
        const Across<T> share = (row * (scale / cap)).tanh();
        if (slopes != nullptr) row_of(slopes, j) = T(1) - share.square();
        row = share * cap + slope * static_cast<T>(key);
      }
      if (by_distance == nullptr) continue;
      if (dense) {
        row += across(by_distance + distances.entry(panel.position(0), key));
      } else {
        for (Extent i = 0; i < panel.count; ++i) row[i] += by_distance[distances.entry(panel.position(i), key)];
      }
    }
  }
  /// sums, by distance, += row j of a panel.
  void add_by_distance(const QueryPanel<T>& panel, Extent j, const Across<T>& row, T* sums) const {
    const Extent key = panel.begin + j;
    if (panel.is_dense()) {
      across(sums + distances.entry(panel.position(0), key)) += row;
    } else {
      for (Extent i = 0; i < panel.count; ++i) sums[distances.entry(panel.position(i), key)] += row[i];
    }
  }
  /// The same for one query at this position: scores of the keys [begin, end) side by side.
  void apply(Extent position, Extent begin, Extent end, T* scores, T scale) const {
    if (cap != T(0)) {
      map_lanes(
          end - begin, scores, [&](const Lanes<T>& x) -> Lanes<T> { return (x * (scale / cap)).tanh() * cap; }, scores);
      scale = 1;
    }
    for (Extent key = begin; key < end; ++key, ++scores) {
      *scores = *scores * scale + slope * static_cast<T>(key);
      if (by_distance != nullptr) *scores += by_distance[distances.entry(position, key)];
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
            .cap = static_cast<T>(shape_.score_cap),
            .slope = shape_.alibi ? static_cast<T>(alibi_slope(shape_.heads, head)) : T(0),
            .by_distance = distances_.size() > 0 ? by_distance_ + head * distances_.size() : nullptr};
  }

 private:
  const AttentionShape& shape_;
  const Distances& distances_;
  T* by_distance_;
};

}  // namespace greentrainer::eigen
