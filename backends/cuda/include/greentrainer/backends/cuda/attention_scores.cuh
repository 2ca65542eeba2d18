#pragma once

#include <algorithm>
#include <cmath>
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

/// One sequence of queries, and of the keys that they attend to. Where the queries stand is read from the shape, a
/// kernel's argument, when it is asked for: registers are scarce.
struct AttendingSequence {
  Extent first_query = 0;
  Extent first_key = 0;
  int queries = 0;
  int keys = 0;
  int first_position = 0;  ///< of the first query among the keys, where queries follow each other

  __device__ AttendingSequence(const AttentionShape& shape, int s)
      : first_query(shape.queries.begins[s]),
        first_key(shape.keys.begins[s]),
        queries(shape.queries.ends[s] - shape.queries.begins[s]),
        keys(shape.keys.ends[s] - shape.keys.begins[s]),
        first_position(static_cast<int>(shape.first_position(queries, keys))) {}

  /// Of a query among the keys; of the last one for queries that there are not, if there is any.
  __device__ int position_or_last(const AttentionShape& shape, int query) const {
    return position(shape, query < queries ? query : queries - 1);
  }
  /// Of a query that there is, among the keys.
  __device__ int position(const AttentionShape& shape, int query) const {
    return shape.positions == nullptr ? first_position + query : shape.positions[first_query + query];
  }
  /// Keys that a query sees: the first so many. A query that does not exist sees none.
  __device__ int seen(const AttentionShape& shape, int query) const {
    return query < queries ? static_cast<int>(shape.keys_seen(position(shape, query), keys)) : 0;
  }
  /// The first key that a query which there is sees.
  __device__ int first_key_seen(const AttentionShape& shape, int query) const {
    return static_cast<int>(shape.first_key_seen(position(shape, query)));
  }
  /// The first query at this position or behind; as many as there are if none is.
  __device__ int first_query_at(const AttentionShape& shape, Extent where) const {
    if (shape.positions == nullptr) {
      const Extent query = where - first_position;
      return query < 0 ? 0 : query < queries ? static_cast<int>(query) : queries;
    }
    int begin = 0, end = queries;
    while (begin < end) {
      const int middle = (begin + end) / 2;
      if (position(shape, middle) < where)
        begin = middle + 1;
      else
        end = middle;
    }
    return begin;
  }
  /// The first query that sees this key or a later one.
  __device__ int first_query_seeing(const AttentionShape& shape, int key) const {
    return shape.causal ? first_query_at(shape, key) : 0;
  }
  /// Where the queries that see this key end.
  __device__ int end_of_queries_seeing(const AttentionShape& shape, int key) const {
    return shape.window > 0 ? first_query_at(shape, key + shape.window) : queries;
  }
  /// Where a tile of keys from `key` on may as well start, for queries from `first` on: scattered ones may have windows
  /// that do not touch.
  __device__ int next_key_seen(const AttentionShape& shape, int first, int key) const {
    if (shape.window == 0) return key;
    const int at_key = first_query_at(shape, key), query = at_key > first ? at_key : first;
    const int begin = query < queries ? first_key_seen(shape, query) : key;
    return begin > key ? begin : key;
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
  T cap;        ///< what scaled scores are limited to; 0: nothing
  T slope;      ///< ALiBi's
  bool biased;  ///< there is a relative bias

  __device__ ScoreTerms(const AttentionShape& shape, int head)
      : scale(static_cast<T>(shape.scale)),
        cap(static_cast<T>(shape.score_cap)),
        slope(shape.alibi ? static_cast<T>(alibi_slope(shape.heads, head)) : T(0)),
        biased(shape.relative.buckets > 0) {}

  /// The scaled product; where there is a cap, the share of it that is reached.
  __device__ T share(T product) const { return cap > T(0) ? std::tanh(product * (scale / cap)) : product * scale; }
  /// How the scaled and capped score changes with the scaled product.
  __device__ T slope_of_cap(T share) const { return cap > T(0) ? T(1) - share * share : T(1); }
  /// From that share. `relative`: where the pair's relative bias is, read only if there is one.
  __device__ T operator()(T share, int key_position, const T* relative) const {
    const T score = (cap > T(0) ? share * cap : share) + slope * static_cast<T>(key_position);
    return biased ? score + *relative : score;
  }
};

/// Fills in what one head's relative bias adds along each diagonal of a tile of scores of queries that follow each
/// other, distance_of(diagonal) being from query to key, and, unless null, the bucket that it comes from.
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

/// The same for a tile of scattered queries: what is added to each of its scores, distance_of(row, column) being from
/// query to key. Every thread fills in those that are its own; where there is no query or no key, it may be anything.
template <class Tile, class T, class DistanceOf>
__device__ void load_relative(const AttentionProblem<T>& problem, int head, DistanceOf distance_of, T* scores) {
  if (problem.shape.relative.buckets == 0) return;
#pragma unroll 1
  for (int i = 0; i < Tile::thread_rows; ++i) {
#pragma unroll 1
    for (int j = 0; j < Tile::thread_cols; ++j) {
      const int bucket = problem.buckets(distance_of(Tile::row(i), Tile::col(j)));
      Tile::store_score(scores, i, j, problem.bias.data[bucket * problem.bias.stride + head]);
    }
  }
}

}  // namespace greentrainer::cuda
