#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
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
template <class C>
concept Communicator = requires(C c, std::span<float> floats, std::span<double> doubles,
                                std::span<std::int64_t> integers, std::span<std::byte> bytes,
                                std::span<const std::byte> own, Reduction reduction, int root, const std::string& why) {
  { c.rank() } -> std::same_as<int>;
  { c.size() } -> std::same_as<int>;
  c.all_reduce(floats, reduction);  // in place
  c.all_reduce(doubles, reduction);
  c.all_reduce(integers, reduction);
  c.broadcast(bytes, root);                                                // the root's bytes, to every rank
  { c.gather(own) } -> std::same_as<std::vector<std::vector<std::byte>>>;  // of every rank, in order, on every rank
  c.barrier();
  c.abort(why);  // ends the run on all ranks; may not return
};

}  // namespace greentrainer
