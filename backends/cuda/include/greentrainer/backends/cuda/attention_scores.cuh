#pragma once

#include <algorithm>
#include <ranges>

#include "greentrainer/backends/cuda/attention_tile.cuh"
#include "greentrainer/core/kernel_arguments.hpp"

namespace greentrainer::cuda {

/// relative_bucket for kernels: a few comparisons with the distances at which the wider buckets begin, instead of
/// logarithms.
struct DistanceBuckets {
  static constexpr int most_wide = 128;
  int exact = 0;  ///< distances below have buckets of their own
  int wide = 0;
  int ahead = 0;  ///< bucket of keys ahead of the query at distance 0, if they have any
  bool bidirectional = false;
  int begins[most_wide] = {};  ///< smallest distance of bucket exact + 1 + i

  DistanceBuckets() = default;
  /// Throws BackendError for more buckets than there is room for.
  explicit DistanceBuckets(const RelativeBias& relative) : bidirectional(relative.bidirectional) {
    if (relative.buckets == 0) return;
    const Extent buckets = bidirectional ? relative.buckets / 2 : relative.buckets;
    exact = static_cast<int>(buckets / 2);
    ahead = static_cast<int>(bidirectional ? buckets : 0);
    wide = static_cast<int>(buckets) - exact - 1;
    if (wide > most_wide) {
      throw BackendError("CudaBackend::attention", "relative.buckets",
                         text("expected at most ", most_wide, " that are wider than one distance, got ", wide));
    }
    for (int i = 0; i < wide; ++i) {
      const auto begins_later = [&](Extent away) { return relative_bucket(relative, -away) <= exact + i; };
      begins[i] = static_cast<int>(
          *std::ranges::partition_point(std::views::iota(Extent{exact}, relative.max_distance + 1), begins_later));
    }
  }

  __device__ int operator()(int distance) const {
    const int away = distance < 0 ? -distance : bidirectional ? distance : 0;
    int bucket = (distance > 0 ? ahead : 0) + (away < exact ? away : exact);
    for (int i = 0; i < wide; ++i) bucket += away >= begins[i] ? 1 : 0;
    return bucket;
  }
};

/// What every attention kernel is told beside its operands.
template <class T>
struct AttentionProblem {
  AttentionShape shape;
  DistanceBuckets buckets;
  Matrix<const T> bias;  ///< (shape.relative.buckets, heads), or empty

  AttentionProblem(const AttentionShape& shape_, Matrix<const T> bias_)
      : shape(shape_), buckets(shape_.relative), bias(bias_) {}
};

/// One sequence of queries, and of the keys that they attend to.
struct AttendingSequence {
  Extent first_query = 0;
  Extent first_key = 0;
  int queries = 0;
  int keys = 0;
  int position = 0;  ///< of the first query among the keys

  __device__ AttendingSequence(const AttentionShape& shape, int s)
      : first_query(shape.queries.begins[s]),
        first_key(shape.keys.begins[s]),
        queries(shape.queries.ends[s] - shape.queries.begins[s]),
        keys(shape.keys.ends[s] - shape.keys.begins[s]),
        position(static_cast<int>(shape.first_position(queries, keys))) {}

  /// Keys that a query sees: the first so many. A query that does not exist sees none.
  __device__ int seen(const AttentionShape& shape, int query) const {
    return query < queries ? static_cast<int>(shape.keys_seen(query, queries, keys)) : 0;
  }
  /// The first query that sees this key.
  __device__ int first_query_seeing(const AttentionShape& shape, int key) const {
    return shape.causal && key > position ? key - position : 0;
  }
};

/// Blocks of a launch: (tile, sequence, head), the head changing fastest, so that tiles with most work can start first.
struct AttentionBlock {
  int tile = 0;
  int sequence = 0;
  int head = 0;

  __device__ AttentionBlock(const AttentionShape& shape, Extent heads)
      : tile(static_cast<int>(blockIdx.x / (shape.queries.count * heads))),
        sequence(static_cast<int>(blockIdx.x / heads % shape.queries.count)),
        head(static_cast<int>(blockIdx.x % heads)) {}
  static dim3 grid(const AttentionShape& shape, Extent heads, Extent tiles) {
    return grid_of(tiles * shape.queries.count * heads);
  }
};

/// From a product of a query and a key to their score.
template <class T>
struct ScoreTerms {
  T scale;
  T slope;               ///< ALiBi's
  const T* by_diagonal;  ///< in shared memory: the relative bias of each diagonal of the tile, or null

  __device__ ScoreTerms(const AttentionShape& shape, int head, const T* by_diagonal_)
      : scale(static_cast<T>(shape.scale)),
        slope(shape.alibi ? static_cast<T>(alibi_slope(shape.heads, head)) : T(0)),
        by_diagonal(shape.relative.buckets > 0 ? by_diagonal_ : nullptr) {}

  __device__ T operator()(T product, int key_position, int diagonal) const {
    const T score = product * scale + slope * static_cast<T>(key_position);
    return by_diagonal == nullptr ? score : score + by_diagonal[diagonal];
  }
};

/// Fills in what one head's relative bias adds along each diagonal of a tile of scores, distance_of(diagonal) being
/// from query to key, and, unless null, the bucket that it comes from.
template <class Tile, class T, class DistanceOf>
__device__ void load_diagonals(const AttentionProblem<T>& problem, int head, DistanceOf distance_of, T* by_diagonal,
                               int* bucket_of_diagonal = nullptr) {
  if (problem.shape.relative.buckets == 0) return;
  for (int d = static_cast<int>(threadIdx.x); d < Tile::diagonals; d += attention_threads) {
    const int bucket = problem.buckets(distance_of(d));
    by_diagonal[d] = problem.bias.data[bucket * problem.bias.stride + head];
    if (bucket_of_diagonal != nullptr) bucket_of_diagonal[d] = bucket;
  }
}

}  // namespace greentrainer::cuda
