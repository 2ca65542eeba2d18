// Gradients of a selection are summed over ranks in buckets, whatever the tensors' sizes.

#include "greentrainer/train/gradient_exchange.hpp"

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/parallel/thread_group.hpp"

using namespace greentrainer;

TEST_CASE("tensors larger and smaller than a bucket are summed once each, and what is not selected is not sent") {
  using B = EigenBackend<float>;
  TensorGraph<B> graph;
  const auto bucket = static_cast<Extent>(GradientExchange<B>::bucket_elements);
  const std::vector<Extent> sizes = {3, 2 * bucket + 5, 7, bucket - 15, 4};  // the first four fill three buckets
  for (std::size_t i = 0; i < sizes.size(); ++i) graph.parameter(text("p", i), {sizes[i]});
  for (const ParameterId left_out : {-1, 1, 4}) {
    CAPTURE(left_out);
    Selection selection = select_none(graph);
    Bytes selected = 0;
    for (ParameterId id = 0; id < 5; ++id) {
      if (id == left_out) continue;
      selection.insert(id);
      selected += 4 * sizes[static_cast<std::size_t>(id)];
    }
    std::vector<std::string> faults(3);
    std::vector<Bytes> sent(3);
    ThreadGroup(3).run([&](auto& communicator) {
      const auto rank = static_cast<std::size_t>(communicator.rank());
      B backend(1);
      GradientStore<B> gradients(backend);
      gradients.select(graph, selection);
      const auto value = [](std::size_t of_rank, std::size_t i) {
        return static_cast<float>((of_rank + 1) * (i % 1000));
      };
      for (ParameterId id = 0; id < 5; ++id) {
        std::vector<float> own(static_cast<std::size_t>(gradients[id].size()));
        for (std::size_t i = 0; i < own.size(); ++i) own[i] = value(rank, i);
        gradients[id].upload(own);
      }
      GradientExchange<B> exchange(backend);
      Ranks ranks(communicator);
      exchange.sum(graph, selection, gradients, ranks);
      for (ParameterId id = 0; id < 5; ++id) {
        const std::vector<float> sums = gradients[id].download();
        for (std::size_t i = 0; i < sums.size(); ++i) {
          if (sums[i] != value(0, i) + value(1, i) + value(2, i)) faults[rank] = text("p", id, " at ", i);
        }
      }
      sent[rank] = ranks.sent(Traffic::gradients).bytes;
    });
    CHECK(faults == std::vector<std::string>(3));
    CHECK(sent == std::vector<Bytes>(3, selected));
  }
}
