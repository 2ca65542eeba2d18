// Training steps of an OPT shape on the ranks that mpirun starts, or on one alone; the first rank prints a line of
// JSON. Usage: mpi_step THREADS SEQUENCES TOKENS STEPS full|rho fast|exact [GBIT_PER_SECOND 0] [LAYERS 8] [WIDTH 512]
// [HEADS 8] [VOCABULARY 8192]
// SEQUENCES are those of a step of all ranks; rho: a selection within half of full fine-tuning's FLOPs, by random
// importances. With a rate, sums of gradients take the time that they would on such a link.

#include <algorithm>
#include <cstdlib>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/backends/mpi.hpp>
#include <greentrainer/core/random.hpp>
#include <greentrainer/models/opt.hpp>
#include <greentrainer/select/budgeted_selection.hpp>
#include <greentrainer/train/trainer.hpp>
#include <iostream>
#include <string>
#include <sys/resource.h>
#include <vector>

#include "random_batch.hpp"
#include "throttled_communicator.hpp"

namespace gt = greentrainer;
using Backend = gt::EigenBackend<float>;

namespace {

double processor_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

gt::Model<Backend> make_model(Backend& backend, const gt::Opt& opt) {
  gt::Model<Backend> model(backend, opt.graph<Backend>(), gt::facts_of(opt));
  gt::CounterRandom random(3, "weights");
  for (gt::ParameterId id = 0; id < static_cast<gt::ParameterId>(model.graph().parameters().size()); ++id) {
    std::vector<float> values(static_cast<std::size_t>(model.graph().parameter(id).size()));
    for (float& v : values) v = static_cast<float>(0.04 * (random.uniform() - 0.5));
    model.parameters()[id].upload(values);
  }
  return model;
}

std::vector<gt::Example> make_examples(gt::Extent count, gt::Extent tokens, gt::Extent vocabulary) {
  gt::CounterRandom random(5, "examples");
  std::vector<gt::Example> examples(static_cast<std::size_t>(count));
  for (gt::Example& example : examples) {
    for (gt::Extent t = 0; t < tokens; ++t)
      example.input_ids.push_back(static_cast<gt::Index>(random.below(static_cast<std::uint32_t>(vocabulary))));
    example.labels = example.input_ids;
  }
  return examples;
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, const char* otherwise) { return std::string(argc > i ? argv[i] : otherwise); };
  const auto whole = [&](int i, const char* otherwise) {
    return static_cast<gt::Extent>(std::atoll(argument(i, otherwise).c_str()));
  };
  const gt::Extent sequences = whole(2, "16"), tokens = whole(3, "256"), steps = whole(4, "6");
  const bool full = argument(5, "full") == "full", exact = argument(6, "fast") == "exact";
  const double rate = 1e9 / 8 * std::atof(argument(7, "0").c_str());
  gt::Opt opt;
  opt.num_hidden_layers = whole(8, "8");
  opt.hidden_size = opt.word_embed_proj_dim = whole(9, "512");
  opt.ffn_dim = 4 * opt.hidden_size;
  opt.num_attention_heads = whole(10, "8");
  opt.vocab_size = whole(11, "8192");
  opt.max_position_embeddings = 2048;

  gt::MpiSession session;
  gt::MpiCommunicator mpi;
  gt::benchmarks::ThrottledCommunicator communicator(mpi, rate);
  Backend backend(static_cast<int>(whole(1, "1")));
  auto model = make_model(backend, opt);
  const auto importance = gt::benchmarks::random_importance(model.graph(), 3);
  const auto selection =
      full ? gt::select_all(model.graph())
           : gt::select_within_ratio(model.graph(), gt::ExactCost<Backend>{},
                                     gt::uniform_workload(sequences, tokens, tokens - 1), importance, 0.5)
                 .selection;
  gt::Trainer trainer{model, selection, gt::AdamWOptions{.learning_rate = 1e-5}};
  trainer.use_communicator(communicator);
  const auto examples = make_examples(sequences, tokens, opt.vocab_size);
  gt::FitOptions options{.steps = steps,
                         .batch_size = (sequences + mpi.size() - 1) / mpi.size(),
                         .gradient_accumulation = mpi.size(),
                         .gradient_sums = exact ? gt::GradientSums::exact : gt::GradientSums::fast,
                         .evaluate = gt::Evaluations::none};
  std::vector<double> seconds, processor;
  double before = processor_seconds();
  options.on_step = [&](const gt::StepRecord& record) {
    seconds.push_back(record.seconds);
    processor.push_back(processor_seconds() - before);
    before = processor_seconds();
  };
  const auto report = trainer.fit(examples, options);
  gt::Ranks ranks(mpi);
  seconds.erase(seconds.begin());  // memory is touched for the first time
  processor.erase(processor.begin());
  double processor_of_all = 0;
  for (const double one : ranks.gather(median(processor), gt::Traffic::control)) processor_of_all += one;
  const auto sent = trainer.ranks().sent(gt::Traffic::gradients);
  if (mpi.rank() == 0) {
    std::cout << "{\"ranks\": " << mpi.size() << ", \"threads\": " << backend.threads()
              << ", \"tokens\": " << sequences * tokens << ", \"seconds\": " << median(seconds)
              << ", \"processor_seconds\": " << processor_of_all << ", \"sent\": " << sent.bytes / steps
              << ", \"gradient_bytes\": " << trainer.gradient_bytes()
              << ", \"exchange_seconds\": " << sent.seconds / static_cast<double>(steps)
              << ", \"link_seconds\": " << communicator.link_seconds() / static_cast<double>(steps)
              << ", \"waited_seconds\": " << communicator.waited_seconds() / static_cast<double>(steps)
              << ", \"flops\": " << report.flops.train / steps << ", \"full_flops\": " << report.flops.full / steps
              << ", \"exact_sums\": " << report.memory.exact_sums << ", \"loss\": " << report.history.back().loss
              << "}\n";
  }
  mpi.all_end();
  return 0;
}
