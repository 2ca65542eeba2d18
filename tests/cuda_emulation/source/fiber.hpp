#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <optional>

#include "cuda_emulation/source/sanitizers.hpp"

namespace greentrainer::cuda_emulation {

/// Room for the stacks of a block's threads, one beside the other, each with a page below it that must not be touched.
class Stacks {
 public:
  explicit Stacks(int count);
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  ~Stacks();

  static constexpr std::size_t bytes =
      address_sanitizer || thread_sanitizer ? std::size_t{256} << 10 : std::size_t{64} << 10;  ///< of one stack

  int count() const { return count_; }
  std::byte* begin(int i) const { return mapping_ + static_cast<std::size_t>(i) * pitch + guard; }
  /// Whether an address lies in one of the pages that must not be touched.
  bool in_guard(const void* address) const;
  /// To ThreadSanitizer nobody has touched them yet.
  void renew();
  /// After fibers were abandoned: AddressSanitizer forgets their frames.
  void forget() const;

 private:
  static constexpr std::size_t guard = 4096, pitch = bytes + guard;
  void forbid_guards() const;

  int count_;
  std::byte* mapping_;
};

/// A function that runs on a stack of its own and may be left and gone on with. One that waits may be abandoned; what
/// is on its stack is not cleaned up then: kernels have nothing that needs it.
class Fiber {
 public:
  Fiber(std::byte* stack, int number) : stack_(stack), number_(number) {}

  /// Makes ready to run `entry(argument)` from its beginning.
  void prepare(void (*entry)(void*), void* argument);
  /// Runs it until it waits or ends.
  void resume();
  /// Called on the fiber: back into resume(), and on from here at the next one.
  void wait();

  /// For a signal handler that lets the fiber go on elsewhere: the top of its stack, on which nothing counts any more.
  std::byte* empty_stack();

 private:
  static void begin(boost::context::detail::transfer_t from);

  std::byte* stack_;
  int number_;
  boost::context::detail::fcontext_t here_ = nullptr;     ///< where it goes on
  boost::context::detail::fcontext_t resumer_ = nullptr;  ///< where resume() goes on
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool ended_ = true;
  std::optional<Actor> actor_;
  void* kept_ = nullptr;  // AddressSanitizer's
};

}  // namespace greentrainer::cuda_emulation
