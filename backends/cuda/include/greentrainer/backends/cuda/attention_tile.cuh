#pragma once

#include <algorithm>

#include "greentrainer/backends/cuda/vectors.cuh"

namespace greentrainer::cuda {

inline constexpr int attention_threads = 128;

/// One head's rows of one sequence in global memory: `rows` rows of `cols` numbers.
template <class T>
struct HeadRows {
  T* data = nullptr;
  Extent stride = 0;
  int rows = 0;
  int cols = 0;
  bool vectors = false;  ///< every row starts and ends where vectors of the widest access do
};

template <class T>
__device__ HeadRows<T> head_rows(const Matrix<T>& m, Extent first_row, int rows, Extent first_col, int cols) {
  T* data = m.data + first_row * m.stride + first_col;
  const bool vectors =
      reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && m.stride % widest<T> == 0 && cols % widest<T> == 0;
  return {data, m.stride, rows, cols, vectors};
}

/// Rows that a thread has of a tile: as many as leave its sums of the two gradients that one kernel forms in registers.
template <class T, int D>
inline constexpr int attention_thread_rows = std::min(widest<T>, 2048 / (D * static_cast<int>(sizeof(T))));

/// The geometry and the products of attention, head_dim padded to D. A block owns `rows` rows (queries, or keys where
/// their gradients are formed) and streams the other side past them, `cols` rows at a time; the scores between the two
/// are a tile (rows, cols). Eight neighbouring lanes have the same rows, so what they write to shared memory for these
/// rows only they, in one warp, read. Tiles in shared memory are padded such that lanes which read different rows of
/// the same column meet different banks. The products are register-tiled scalar arithmetic, exact in T; kernels reach
/// them through this struct alone, where matrix instructions would go too.
template <class T, int D, int R = attention_thread_rows<T, D>>
struct AttentionTile {
  static constexpr int vector = widest<T>;
  static constexpr int lanes = 8;
  static constexpr int groups = attention_threads / lanes;
  static constexpr int rows = groups * R;
  static constexpr int cols = D * sizeof(T) <= 512 ? 32 : 16;
  static constexpr int thread_rows = R;
  static constexpr int thread_cols = cols / lanes;
  static constexpr int depth = D / lanes;         ///< of D sums in a row, those of a thread
  static constexpr int vectors = depth / vector;  ///< of them, in vectors of the widest access,
  static constexpr int rest = depth % vector;     ///< and in one smaller vector behind those
  static constexpr int diagonals =
      rows + cols - 1;  ///< entry (r, c) of a tile of scores lies on the diagonal r - c + cols - 1
  static_assert(D % (2 * lanes) == 0 && R > 0);

  // Strides and sizes of tiles in shared memory, in elements.
  static constexpr int row_stride = D + vector;
  static constexpr int score_stride = cols + lanes;
  static constexpr int owned_size = rows * row_stride;
  static constexpr int streamed_size = cols * row_stride;
  static constexpr int scores_size = rows * score_stride;
  static constexpr int diagonals_size = (diagonals + vector - 1) / vector * vector;

  using Scores = T[thread_rows][thread_cols];
  using Sums = T[thread_rows][depth];

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % lanes; }
  __device__ static int row(int i) { return static_cast<int>(threadIdx.x) / lanes + groups * i; }
  __device__ static int col(int j) { return lane() + lanes * j; }
  __device__ static int diagonal(int i, int j) { return row(i) - col(j) + cols - 1; }

  /// Column of a thread's k-th sum, k a multiple of the vector's width or the start of the rest.
  __device__ static int sum_col(int k) {
    return k < vectors * vector ? k * lanes + lane() * vector : k * lanes + lane() * rest;
  }

  /// Count rows from `first` into shared memory (Count, D): zeros where there is no such row or column.
  template <int Count>
  __device__ static void load_rows(const HeadRows<const T>& from, int first, T* tile) {
    if (from.vectors) {
      load_vectors<Count>(from, first, tile);
    } else {
      load_elements<Count>(from, first, tile);
    }
  }

  /// scores (rows, cols) = owned (rows, D) streamed (cols, D)^T.
  __device__ static void multiply_rows(const T* owned, const T* streamed, Scores& scores) {
#pragma unroll
    for (int i = 0; i < thread_rows; ++i) {
#pragma unroll
      for (int j = 0; j < thread_cols; ++j) scores[i][j] = T(0);
    }
#pragma unroll 2
    for (int d = 0; d < D; d += vector) {
      Vector<T, vector> left[thread_rows], right[thread_cols];
#pragma unroll
      for (int i = 0; i < thread_rows; ++i) left[i] = load<vector>(owned + row(i) * row_stride + d);
#pragma unroll
      for (int j = 0; j < thread_cols; ++j) right[j] = load<vector>(streamed + col(j) * row_stride + d);
#pragma unroll
      for (int e = 0; e < vector; ++e) {
#pragma unroll
        for (int i = 0; i < thread_rows; ++i) {
#pragma unroll
          for (int j = 0; j < thread_cols; ++j) scores[i][j] += left[i].at[e] * right[j].at[e];
        }
      }
    }
  }

  /// sums (rows, D) += weights (rows, cols) streamed (cols, D), the weights being a tile of scores in shared memory.
  __device__ static void add_weighted_rows(const T* weights, const T* streamed, Sums& sums) {
    constexpr int together = thread_rows > 1 ? vector : 1;  // a single row has no registers to spare for more
#pragma unroll 1
    for (int c = 0; c < cols; c += together) {
      Vector<T, together> left[thread_rows];
#pragma unroll
      for (int i = 0; i < thread_rows; ++i) left[i] = load<together>(weights + row(i) * score_stride + c);
#pragma unroll
      for (int e = 0; e < together; ++e) {
        const T* right = streamed + (c + e) * row_stride;
#pragma unroll
        for (int k = 0; k < vectors * vector; k += vector) add_columns<vector>(left, e, right, k, sums);
        if constexpr (rest > 0) add_columns<rest>(left, e, right, vectors * vector, sums);
      }
    }
  }

  __device__ static void store_score(T* tile, int i, int j, T value) { *score_in(tile, i, j) = value; }
  /// One of a thread's own scores in a tile in shared memory.
  __device__ static T* score_in(T* tile, int i, int j) { return tile + row(i) * score_stride + col(j); }

  /// Sum along a diagonal of a tile of scores in shared memory, from its first row to its last.
  __device__ static T diagonal_sum(const T* tile, int diagonal) {
    T sum = T(0);
    for (int r = 0; r < rows; ++r) {
      const int c = r - diagonal + cols - 1;
      if (c >= 0 && c < cols) sum += tile[r * score_stride + c];
    }
    return sum;
  }

  __device__ static void scale_row(T (&sums)[depth], T factor) {
#pragma unroll
    for (int k = 0; k < depth; ++k) sums[k] *= factor;
  }

  /// The thread's sums to the rows from `first` that there are.
  __device__ static void store_sums(const HeadRows<T>& to, int first, const Sums& sums) {
#pragma unroll
    for (int i = 0; i < thread_rows; ++i) {
      if (first + row(i) >= to.rows) continue;
      T* target = to.data + (first + row(i)) * to.stride;
#pragma unroll
      for (int k = 0; k < vectors * vector; k += vector) store_columns<vector>(to, target, sum_col(k), &sums[i][k]);
      if constexpr (rest > 0) store_columns<rest>(to, target, sum_col(vectors * vector), &sums[i][vectors * vector]);
    }
  }

  // Reductions over the lanes that have the same rows; each gets the result.
  __device__ static T lanes_sum(T value) {
#pragma unroll
    for (int distance = lanes / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(full_mask, value, distance);
    return value;
  }
  /// A NaN is passed over unless it is the lane's own: it shows in the sums that follow.
  __device__ static T lanes_max(T value) {
#pragma unroll
    for (int distance = lanes / 2; distance > 0; distance /= 2) {
      const T other = __shfl_xor_sync(full_mask, value, distance);
      value = value < other ? other : value;
    }
    return value;
  }

 private:
  /// Several loads are under way before the first is waited for.
  template <int Count>
  __device__ static void load_vectors(const HeadRows<const T>& from, int first, T* tile) {
    constexpr int vectors_a_row = D / vector, all = Count * vectors_a_row;
    constexpr int a_thread = (all + attention_threads - 1) / attention_threads, batch = a_thread <= 5 ? a_thread : 4;
    for (int v = static_cast<int>(threadIdx.x); v < all; v += batch * attention_threads) {
      Vector<T, vector> loaded[batch];
#pragma unroll
      for (int b = 0; b < batch; ++b) {
        const int at = v + b * attention_threads, r = first + at / vectors_a_row, c = at % vectors_a_row * vector;
        loaded[b] = {};
        if (at < all && r < from.rows && c < from.cols) loaded[b] = load<vector>(from.data + r * from.stride + c);
      }
#pragma unroll
      for (int b = 0; b < batch; ++b) {
        const int at = v + b * attention_threads, r = at / vectors_a_row, c = at % vectors_a_row * vector;
        if (at < all) store(tile + r * row_stride + c, loaded[b]);
      }
    }
  }
  template <int Count>
  __device__ static void load_elements(const HeadRows<const T>& from, int first, T* tile) {
    for (int e = static_cast<int>(threadIdx.x); e < Count * D; e += attention_threads) {
      const int r = e / D, c = e % D;
      tile[r * row_stride + c] =
          first + r < from.rows && c < from.cols ? from.data[(first + r) * from.stride + c] : T(0);
    }
  }

  /// Adds to N sums of each row, from the k-th on: those of weight e times the row `right` in shared memory.
  template <int N, int Together>
  __device__ static void add_columns(const Vector<T, Together> (&weights)[thread_rows], int e, const T* right, int k,
                                     Sums& sums) {
    const Vector<T, N> columns = load<N>(right + sum_col(k));
#pragma unroll
    for (int i = 0; i < thread_rows; ++i) {
#pragma unroll
      for (int n = 0; n < N; ++n) sums[i][k + n] += weights[i].at[e] * columns.at[n];
    }
  }

  template <int N>
  __device__ static void store_columns(const HeadRows<T>& to, T* target, int c, const T* values) {
    Vector<T, N> together;
#pragma unroll
    for (int e = 0; e < N; ++e) together.at[e] = values[e];
    if (to.vectors) {
      if (c < to.cols) store(target + c, together);
    } else {
#pragma unroll
      for (int e = 0; e < N; ++e) {
        if (c + e < to.cols) target[c + e] = together.at[e];
      }
    }
  }
};

}  // namespace greentrainer::cuda
