// Gradients of a selection are summed over ranks in buckets, whatever the tensors' sizes, while others are not yet
// complete.

#include "greentrainer/train/gradient_exchange.hpp"

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/graph/recomputation.hpp"
#include "greentrainer/parallel/thread_group.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;

namespace {

using B = EigenBackend<float>;

float value_of(std::size_t rank, std::size_t i) { return static_cast<float>((rank + 1) * (i % 1000)) / 7.0F; }

/// A graph with parameters of these sizes alone.
TensorGraph<B> graph_of_sizes(const std::vector<Extent>& sizes) {
  TensorGraph<B> graph;
  for (std::size_t i = 0; i < sizes.size(); ++i) graph.parameter(text("p", i), {sizes[i]});
  return graph;
}

/// Gradients of the selection that rank `rank` has.
GradientStore<B> gradients_of(B& backend, const TensorGraph<B>& graph, const Selection& selection, std::size_t rank) {
  GradientStore<B> gradients(backend);
  gradients.select(graph, selection);
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (!selection.contains(id)) continue;
    std::vector<float> own(static_cast<std::size_t>(gradients[id].size()));
    for (std::size_t i = 0; i < own.size(); ++i) own[i] = value_of(rank, i);
    gradients[id].upload(own);
  }
  return gradients;
}

}  // namespace

TEST_CASE("tensors larger and smaller than a bucket are summed once each, and what is not selected is not sent") {
  const Extent bucket = 1000;
  const std::vector<Extent> sizes = {3, 2 * bucket + 5, 7, bucket - 15, 4};  // the first four fill three buckets
  const auto graph = graph_of_sizes(sizes);
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
      auto gradients = gradients_of(backend, graph, selection, rank);
      GradientExchange<B> exchange(backend);
      Ranks ranks(communicator);
      // Any bucket gives the same bits; rank 2 has no pass, and gradients of others are complete in any order.
      exchange.begin(selection, {3, 0}, gradients, ranks, static_cast<std::size_t>(left_out == 4 ? 11 : bucket));
      for (const ParameterId id : {1, 0, 3}) {
        if (rank < 2 && selection.contains(id)) exchange.completed(id);
      }
      exchange.finish();
      for (ParameterId id = 0; id < 5; ++id) {
        if (!selection.contains(id)) continue;
        const std::vector<float> sums = gradients[id].download();
        for (std::size_t i = 0; i < sums.size(); ++i) {
          if (sums[i] != (value_of(0, i) + value_of(1, i)) + value_of(2, i)) faults[rank] = text("p", id, " at ", i);
        }
      }
      sent[rank] = ranks.sent(Traffic::gradients).bytes;
    });
    CHECK(faults == std::vector<std::string>(3));
    CHECK(sent == std::vector<Bytes>(3, selected));
  }
}

TEST_CASE("a bucket goes on its way as soon as its gradients are complete") {
  const auto graph = graph_of_sizes({100, 50, 30});
  std::vector<std::vector<Bytes>> sent(2);
  ThreadGroup(2).run([&](auto& communicator) {
    B backend(1);
    const Selection all = select_all(graph);
    auto gradients = gradients_of(backend, graph, all, 0);
    Ranks ranks(communicator);
    GradientExchange<B> exchange(backend);
    auto& seen = sent[static_cast<std::size_t>(ranks.rank())];
    const auto look = [&] { seen.push_back(ranks.sent(Traffic::gradients).bytes); };
    exchange.begin(all, {2, 1, 0}, gradients, ranks, 40);
    look();
    exchange.completed(2);  // 30 numbers are no bucket
    look();
    exchange.completed(1);  // 80: two buckets
    look();
    exchange.completed(0);  // 180
    look();
    exchange.finish();
    look();
  });
  CHECK(sent[0] == std::vector<Bytes>{0, 0, 320, 640, 720});
  CHECK(sent[1] == sent[0]);
}

TEST_CASE("the order in which gradients become complete is that of a pass") {
  B backend(1);
  auto model = testing::tiny_model(backend, "llama-gqa-tied");  // whose embeddings are used at both ends
  const auto& graph = model.graph();
  struct Recorder final : GradientSink<B> {
    explicit Recorder(GradientStore<B>& into) : store(into) {}
    Matrix<float> gradient(ParameterId id) override { return store.gradient(id); }
    void completed(ParameterId id) override { order.push_back(id); }
    GradientStore<B>& store;
    std::vector<ParameterId> order;
  };
  for (const bool all : {true, false}) {
    const Selection selection = all ? select_all(graph) : select_norms(graph);
    GradientStore<B> store(backend);
    store.select(graph, selection);
    store.zero();
    Recorder recorder(store);
    const Schedule schedule = make_schedule(graph, training_plan(graph, selection));
    const auto examples = testing::counting_examples(2);
    model.executor().run(schedule, collate(examples, std::vector<std::size_t>{0, 1}), {.gradients = &recorder});
    CHECK(completion_order(graph, schedule.plan) == recorder.order);
    CHECK(recorder.order.size() == selection.count());
  }
}
