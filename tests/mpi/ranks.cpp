// Run by mpirun on any number of ranks: what MpiCommunicator does otherwise than its concept says, and whether training
// on it sends what is selected and ends with the weights of one rank alone. Says what is wrong and exits with 1.

#include <cmath>
#include <iostream>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/mpi.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/communicator_faults.hpp"
#include "support/tiny_training.hpp"

namespace gt = greentrainer;

namespace {

using B = gt::EigenBackend<float>;

struct Trained {
  std::vector<std::vector<float>> weights;
  gt::Bytes gradients = 0, expected = 0;
};

Trained train(gt::MpiCommunicator* communicator, gt::GradientSums sums, gt::Extent bucket = 1000) {
  B backend(1);
  auto model = gt::testing::tiny_model(backend, "llama-gqa-tied");
  gt::Trainer trainer{model, gt::GreenOptions{.flops_ratio = 0.5, .reselect_every = {2, gt::Interval::Unit::steps}},
                      gt::AdamWOptions{.learning_rate = 1e-3F}};
  if (communicator != nullptr) trainer.use_communicator(*communicator);
  const auto examples = gt::testing::counting_examples(24);
  trainer.start(examples, {.epochs = 1,
                           .batch_size = 4,
                           .gradient_accumulation = 1,
                           .gradient_sums = sums,
                           .exchange_bucket = bucket,
                           .clip_norm = 0.5});
  Trained trained;
  while (trainer.step()) trained.expected += trainer.gradient_bytes();
  trainer.finish();
  trained.gradients = trainer.ranks().sent(gt::Traffic::gradients).bytes;
  trained.weights = gt::testing::weights_of(model);
  return trained;
}

double difference(const Trained& one, const Trained& other) {
  double squares = 0, all = 0;
  for (std::size_t p = 0; p < one.weights.size(); ++p) {
    for (std::size_t i = 0; i < one.weights[p].size(); ++i) {
      const double x = one.weights[p][i], y = other.weights[p][i];
      squares += (x - y) * (x - y);
      all += x * x;
    }
  }
  return std::sqrt(squares / all);
}

int run() {
  gt::MpiSession session;
  gt::MpiCommunicator communicator;
  std::vector<std::string> faults = gt::testing::communicator_faults(communicator);
  const auto fast = gt::GradientSums::fast, exact = gt::GradientSums::exact;
  const Trained alone = train(nullptr, fast), on_ranks = train(&communicator, fast);
  if (!(difference(alone, on_ranks) <= 1e-6))
    faults.push_back(gt::text("weights differ by ", difference(alone, on_ranks)));
  if (train(&communicator, fast, 333).weights != on_ranks.weights)
    faults.push_back("the same run with other buckets has other bits");
  if (train(nullptr, exact).weights != train(&communicator, exact).weights)
    faults.push_back("exact sums have other bits than one rank's");
  if (on_ranks.gradients != (communicator.size() == 1 ? 0 : on_ranks.expected))
    faults.push_back(gt::text("expected ", on_ranks.expected, " bytes of gradients, got ", on_ranks.gradients));
  for (const std::string& fault : faults) std::cout << "rank " << communicator.rank() << ": " << fault << '\n';
  if (!communicator.all_end(60)) communicator.abort("a rank does not end");
  std::cout << "rank " << communicator.rank() << " of " << communicator.size() << " is done\n";
  return faults.empty() ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const std::exception& error) {
    std::cout << error.what() << '\n';
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
}
