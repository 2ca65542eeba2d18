// The ranks of a run: one alone exchanges nothing; several count what they hand over, by purpose.

#include "greentrainer/parallel/ranks.hpp"

#include <doctest/doctest.h>

#include "greentrainer/parallel/thread_group.hpp"

using namespace greentrainer;

TEST_CASE("one rank alone keeps its numbers and hands nothing over") {
  Ranks ranks;
  std::vector<double> numbers = {1, 2};
  ranks.sum(std::span<double>(numbers), Traffic::gradients);
  CHECK(numbers == std::vector<double>{1, 2});
  CHECK(ranks.gather(7, Traffic::control) == std::vector<int>{7});
  CHECK(ranks.gather(std::string("own"), Traffic::control) == std::vector<std::string>{"own"});
  CHECK(ranks.any(true));
  CHECK_FALSE(ranks.any(false));
  CHECK(ranks.is_alone());
  CHECK(ranks.sent(Traffic::gradients).bytes == 0);
}

TEST_CASE("several ranks sum and gather, and each counts what it hands over by its purpose") {
  std::vector<Ranks> of_ranks(3);
  std::vector<std::string> faults(3);
  ThreadGroup(3).run([&](auto& communicator) {
    Ranks ranks(communicator);
    const auto rank = static_cast<std::size_t>(ranks.rank());
    const auto expect = [&](bool holds, const char* what) {
      if (!holds) faults[rank] += text(what, "; ");
    };
    std::vector<float> numbers(10, static_cast<float>(rank));
    ranks.sum(std::span<float>(numbers), Traffic::gradients);
    expect(numbers == std::vector<float>(10, 3.0F), "sum of float");
    std::vector<std::int64_t> whole = {std::int64_t{1} << 60};
    ranks.sum(std::span<std::int64_t>(whole), Traffic::evaluation);
    expect(whole[0] == 3 * (std::int64_t{1} << 60), "sum of integers");
    ranks.sum(std::span<double>(), Traffic::importance);
    ranks.start_sum(std::vector<double>(3, 0.5), Traffic::evaluation);
    ranks.start_sum(std::vector<float>(2, static_cast<float>(rank)), Traffic::gradients);
    ranks.advance(Traffic::gradients);
    std::vector<std::int64_t> largest = {static_cast<std::int64_t>(rank), -7};
    ranks.largest(std::span<std::int64_t>(largest), Traffic::evaluation);
    expect(largest == std::vector<std::int64_t>{2, -7}, "largest");
    expect(ranks.finish_sum<double>(Traffic::evaluation) == std::vector<double>(3, 1.5), "started sum");
    expect(ranks.finish_sum<float>(Traffic::gradients) == std::vector<float>(2, 3.0F), "started sum of float");
    expect(ranks.gather(2.5 * static_cast<double>(rank), Traffic::control) == std::vector<double>{0, 2.5, 5}, "gather");
    expect(ranks.gather(std::string(rank, 'x'), Traffic::control) == std::vector<std::string>{"", "x", "xx"}, "texts");
    expect(ranks.any(rank == 1), "any");
    expect(!ranks.any(false), "none");
    of_ranks[rank] = ranks;
  });
  CHECK(faults == std::vector<std::string>(3));
  for (std::size_t rank = 0; rank < 3; ++rank) {
    CHECK(of_ranks[rank].rank() == static_cast<int>(rank));
    CHECK(of_ranks[rank].size() == 3);
    CHECK(of_ranks[rank].sent(Traffic::gradients).bytes == 48);
    CHECK(of_ranks[rank].sent(Traffic::evaluation).bytes == 48);
    CHECK(of_ranks[rank].sent(Traffic::importance).bytes == 0);
    CHECK(of_ranks[rank].sent(Traffic::control).bytes == static_cast<Bytes>(8 + rank + 2));
  }
}
