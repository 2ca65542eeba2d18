#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/concepts/communicator.hpp"
#include "greentrainer/core/text.hpp"

namespace greentrainer::testing {

/// Sums and maxima of `count` whole numbers, which every rank knows beforehand.
template <class T, Communicator C>
void find_reduction_faults(C& c, std::size_t count, std::vector<std::string>& faults) {
  std::vector<T> sum(count), largest(count);
  for (std::size_t i = 0; i < count; ++i) {
    sum[i] = static_cast<T>(static_cast<int>(i % 1000) * (c.rank() + 1));
    largest[i] = static_cast<T>((static_cast<int>(i) + c.rank()) % c.size() - 2);  // the largest is another rank's
  }
  c.all_reduce(std::span<T>(sum), Reduction::sum);
  c.all_reduce(std::span<T>(largest), Reduction::max);
  const int ranks = c.size() * (c.size() + 1) / 2;
  for (std::size_t i = 0; i < count; ++i) {
    if (sum[i] != static_cast<T>(static_cast<int>(i % 1000) * ranks)) {
      faults.push_back(text("sum of ", count, " numbers of ", sizeof(T), " bytes, at ", i, ": ", sum[i]));
      break;
    }
  }
  if (std::any_of(largest.begin(), largest.end(), [&](T x) { return x != static_cast<T>(c.size() - 3); }))
    faults.push_back(text("maximum of ", count, " numbers of ", sizeof(T), " bytes"));
}

/// Sums of numbers that are rounded: started and finished, in one piece and in many, and at once.
template <class T, Communicator C>
void find_started_sum_faults(C& c, std::size_t count, std::vector<std::string>& faults) {
  std::vector<T> own(count);
  for (std::size_t i = 0; i < count; ++i)
    own[i] = T(1) / static_cast<T>(i + 1 + 31 * static_cast<std::size_t>(c.rank()));
  std::vector<T> at_once = own, in_order(count), whole;
  c.all_reduce(std::span<T>(at_once), Reduction::sum);
  const std::size_t piece = count / 7 + 1;
  c.start_sum(own);
  for (std::size_t first = 0; first < count; first += piece) {
    c.start_sum(std::vector<T>(own.begin() + static_cast<std::ptrdiff_t>(first),
                               own.begin() + static_cast<std::ptrdiff_t>(std::min(first + piece, count))));
    c.advance();
  }
  const auto all = c.gather(std::as_bytes(std::span<const T>(own)));  // with sums on the way
  c.finish_sum(whole);
  std::vector<T> pieces, one;
  for (std::size_t first = 0; first < count; first += piece) {
    c.finish_sum(one);
    pieces.insert(pieces.end(), one.begin(), one.end());
  }
  for (std::size_t r = 0; r < all.size(); ++r) {
    std::vector<T> of_rank(count);
    if (count > 0) std::memcpy(of_rank.data(), all[r].data(), all[r].size());
    for (std::size_t i = 0; i < count; ++i) in_order[i] = r == 0 ? of_rank[i] : in_order[i] + of_rank[i];
  }
  for (const auto* sums : {&at_once, &whole, &pieces}) {
    if (*sums != in_order) faults.push_back(text("a sum of ", count, " is not added in the order of the ranks"));
  }
}

/// What a communicator does otherwise than its concept says. To be called on every rank; every new kind must be
/// without fault.
template <Communicator C>
std::vector<std::string> communicator_faults(C& c) {
  std::vector<std::string> faults;
  if (c.rank() < 0 || c.rank() >= c.size()) faults.push_back("rank out of range");
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{70'001}}) {
    find_reduction_faults<float>(c, count, faults);
    find_reduction_faults<double>(c, count, faults);
    find_reduction_faults<std::int64_t>(c, count, faults);
    find_started_sum_faults<float>(c, count, faults);
    find_started_sum_faults<double>(c, count, faults);
  }

  std::vector<std::int64_t> large = {std::int64_t{1} << 60};
  c.all_reduce(std::span<std::int64_t>(large), Reduction::max);
  if (large[0] != std::int64_t{1} << 60) faults.push_back("an integer of 60 bits is rounded");

  // Sums whose value depends on the order: all ranks must agree all the same.
  std::vector<float> rounded(1000);
  for (std::size_t i = 0; i < rounded.size(); ++i)
    rounded[i] = 1.0F / static_cast<float>(i + 1 + 31 * static_cast<std::size_t>(c.rank()));
  c.all_reduce(std::span<float>(rounded), Reduction::sum);
  const auto of_all = c.gather(std::as_bytes(std::span<const float>(rounded)));
  for (const auto& one : of_all) {
    if (one != of_all.front()) faults.push_back("ranks get other bits of one sum");
  }

  for (int root = 0; root < c.size(); ++root) {
    std::vector<std::byte> bytes(5, static_cast<std::byte>(c.rank()));
    c.broadcast(std::span<std::byte>(bytes), root);
    if (bytes != std::vector<std::byte>(5, static_cast<std::byte>(root)))
      faults.push_back(text("broadcast from rank ", root));
  }

  const std::vector<std::byte> own(static_cast<std::size_t>(3 * c.rank()), static_cast<std::byte>(c.rank()));
  const auto all = c.gather(std::span<const std::byte>(own));  // rank 0 has nothing
  bool gathered = static_cast<int>(all.size()) == c.size();
  for (int rank = 0; gathered && rank < c.size(); ++rank) {
    gathered = all[static_cast<std::size_t>(rank)] ==
               std::vector<std::byte>(static_cast<std::size_t>(3 * rank), static_cast<std::byte>(rank));
  }
  if (!gathered) faults.push_back("gather");
  c.barrier();
  return faults;
}

}  // namespace greentrainer::testing
