// Ranks in threads of one process: what a communicator promises, and how a rank that ends takes the others with it.

#include "greentrainer/parallel/thread_group.hpp"

#include <atomic>
#include <stdexcept>

#include <doctest/doctest.h>

#include "support/communicator_faults.hpp"

using namespace greentrainer;
using greentrainer::testing::communicator_faults;

TEST_CASE("one to five ranks in threads do what a communicator promises") {
  for (int size = 1; size <= 5; ++size) {
    CAPTURE(size);
    std::atomic<int> ran = 0;
    ThreadGroup group(size);
    std::vector<std::vector<std::string>> faults(static_cast<std::size_t>(size));
    group.run([&](auto& communicator) {
      faults[static_cast<std::size_t>(communicator.rank())] = communicator_faults(communicator);
      ++ran;
    });
    CHECK(ran == size);
    for (const auto& of_rank : faults) CHECK(of_rank == std::vector<std::string>());
  }
}

TEST_CASE("sums are added in the order of the ranks: the same bits every time") {
  const std::vector<float> of_ranks = {1e8F, 1.0F, -1e8F, 1.0F};  // in any other order the sum may be 0 or 2
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::vector<float> sums(4);
    ThreadGroup(4).run([&](auto& c) {
      float x = of_ranks[static_cast<std::size_t>(c.rank())];
      c.all_reduce(std::span<float>(&x, 1), Reduction::sum);
      sums[static_cast<std::size_t>(c.rank())] = x;
    });
    CHECK(sums == std::vector<float>(4, ((1e8F + 1.0F) - 1e8F) + 1.0F));
  }
}

TEST_CASE("a rank that throws ends those that wait for it, and what it threw is thrown to the caller") {
  std::vector<std::string> seen(3);
  ThreadGroup group(3);
  CHECK_THROWS_WITH_AS(group.run([&](auto& c) {
    if (c.rank() == 1) throw std::runtime_error("the disk is full");
    try {
      c.barrier();
    } catch (const CommunicationError& error) {
      seen[static_cast<std::size_t>(c.rank())] = error.message();
      throw;
    }
  }),
                       "the disk is full", std::runtime_error);
  CHECK(seen[0] == "rank 1: has ended: the disk is full");
  CHECK(seen[2] == seen[0]);
}

TEST_CASE("ranks that call other operations, or with other lengths, are told so instead of waiting for ever") {
  const auto fault = [](auto first, auto second) {
    try {
      ThreadGroup(2).run([&](auto& c) { c.rank() == 0 ? first(c) : second(c); });
    } catch (const CommunicationError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  std::vector<double> two(2), three(3);
  const auto sum = [](std::vector<double>& numbers) {
    return [&numbers](auto& c) { c.all_reduce(std::span<double>(numbers), Reduction::sum); };
  };
  CHECK(fault(sum(two), [](auto& c) { c.barrier(); }).find("barrier") != std::string::npos);
  CHECK(fault(sum(two), sum(three)).find("24") != std::string::npos);
  CHECK(fault(sum(two), [&](auto& c) { c.all_reduce(std::span<double>(two), Reduction::max); }) != "");
  CHECK_THROWS_AS(ThreadGroup(0), ConfigError);
}
