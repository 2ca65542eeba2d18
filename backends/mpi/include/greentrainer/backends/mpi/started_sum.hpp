#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <mpi.h>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "greentrainer/backends/mpi/call.hpp"

namespace greentrainer::mpi {

/// A sum over ranks that goes on step by step, whatever type its numbers have. Each rank adds up an equal share of the
/// places, in the order of the ranks, whereas MPI_Allreduce adds in an order that depends on the length. Every number
/// travels twice, as in other ways to do it.
class StartedSum {
 public:
  StartedSum() = default;
  StartedSum(const StartedSum&) = delete;
  StartedSum& operator=(const StartedSum&) = delete;
  virtual ~StartedSum() = default;

  /// Sends this rank's numbers to those that add them up. `deal`: the ranks. To be called in one order by all.
  virtual void deal(MPI_Comm ranks) = 0;
  /// Whether all numbers that this rank adds up have come.
  virtual bool is_dealt() = 0;
  /// Adds them up and sends the sums to all. To be called in one order by all.
  virtual void collect(MPI_Comm ranks) = 0;
  virtual bool is_collected() = 0;
};

template <class T>
class StartedSumOf final : public StartedSum {
 public:
  /// In place; the numbers must stand until the sum is collected, or the process ends. At most 2^31 - 1.
  explicit StartedSumOf(std::span<T> numbers) : numbers_(numbers) {
    if (numbers.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
      throw CommunicationError("sum", "numbers", text("expected less than 2^31, got ", numbers.size()));
  }
  /// Of numbers that it owns.
  explicit StartedSumOf(std::vector<T> numbers) : StartedSumOf(std::span<T>(numbers)) { owned_ = std::move(numbers); }

  std::vector<T> take() { return std::move(owned_); }

  void deal(MPI_Comm ranks) override {
    int size = 0;
    check(MPI_Comm_size(ranks, &size), "MPI_Comm_size");
    check(MPI_Comm_rank(ranks, &rank_), "MPI_Comm_rank");
    const int count = static_cast<int>(numbers_.size()), share = count / size, left = count % size;
    for (int rank = 0; rank < size; ++rank) {
      places_.push_back(rank == 0 ? 0 : places_.back() + counts_.back());
      counts_.push_back(share + (rank < left ? 1 : 0));
    }
    const int own = counts_[static_cast<std::size_t>(rank_)];
    come_counts_.assign(static_cast<std::size_t>(size), own);
    for (int rank = 0; rank < size; ++rank) come_places_.push_back(rank * own);
    come_.resize(static_cast<std::size_t>(size) * static_cast<std::size_t>(own));
    check(MPI_Ialltoallv(numbers_.data(), counts_.data(), places_.data(), type, come_.data(), come_counts_.data(),
                         come_places_.data(), type, ranks, &request_),
          "MPI_Ialltoallv");
  }
  bool is_dealt() override { return is_done(request_, "MPI_Ialltoallv"); }

  void collect(MPI_Comm ranks) override {
    const auto own = static_cast<std::size_t>(counts_[static_cast<std::size_t>(rank_)]);
    T* const sums = numbers_.data() + places_[static_cast<std::size_t>(rank_)];
    std::copy_n(come_.data(), own, sums);
    for (std::size_t rank = 1; rank < counts_.size(); ++rank) {
      const T* const one = come_.data() + rank * own;
      for (std::size_t i = 0; i < own; ++i) sums[i] += one[i];
    }
    check(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, numbers_.data(), counts_.data(), places_.data(), type,
                          ranks, &request_),
          "MPI_Iallgatherv");
  }
  bool is_collected() override { return is_done(request_, "MPI_Iallgatherv"); }

 private:
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
  inline static const MPI_Datatype type = std::is_same_v<T, float> ? MPI_FLOAT : MPI_DOUBLE;

  std::vector<T> owned_;
  std::span<T> numbers_;
  std::vector<T> come_;  ///< those that this rank adds up, of every rank
  std::vector<int> counts_, places_, come_counts_, come_places_;
  int rank_ = 0;
  MPI_Request request_ = MPI_REQUEST_NULL;
};

}  // namespace greentrainer::mpi
