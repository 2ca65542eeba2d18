#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// What becomes of the numbers that the ranks have at one place.
enum class Reduction { sum, max };

/// A rank of a run has ended, so that the others cannot go on; the subject names it.
class CommunicationError : public Error {
 public:
  using Error::Error;
};

/// One rank's end of what connects `size` ranks, numbered from 0, which work on one run: processes, or threads with a
/// communicator each. All spans are host memory.
///
/// All operations but rank, size and abort are collective: every rank calls the same ones in the same order, with spans
/// of the same length (those of `gather` may differ), and gets the same bits. They return when this rank's result is
/// there, and throw CommunicationError where a rank has ended instead.
///
/// A sum adds at each place in the order of the ranks, whatever the length, so that its bits do not depend on how
/// numbers are cut into spans. `start_sum` begins one that goes on while the caller works; it takes the numbers over.
/// `finish_sum` waits for the oldest of them and hands its numbers back, summed; `advance` lets sums get on and never
/// waits. Other operations may lie between. An end that is destroyed leaves sums on the way to themselves.
template <class C>
concept Communicator = requires(C c, std::span<float> floats, std::span<double> doubles,
                                std::span<std::int64_t> integers, std::span<std::byte> bytes,
                                std::span<const std::byte> own, Reduction reduction, int root, const std::string& why,
                                std::vector<float> many_floats, std::vector<double> many_doubles) {
  { c.rank() } -> std::same_as<int>;
  { c.size() } -> std::same_as<int>;
  c.all_reduce(floats, reduction);  // in place
  c.all_reduce(doubles, reduction);
  c.all_reduce(integers, reduction);
  c.start_sum(std::move(many_floats));
  c.start_sum(std::move(many_doubles));
  c.finish_sum(many_floats);  // whose type must be that of the sum
  c.finish_sum(many_doubles);
  c.advance();
  c.broadcast(bytes, root);                                                // the root's bytes, to every rank
  { c.gather(own) } -> std::same_as<std::vector<std::vector<std::byte>>>;  // of every rank, in order, on every rank
  c.barrier();
  c.abort(why);  // ends the run on all ranks; may not return
};

}  // namespace greentrainer
