// Does the cost model promise what is executed? For random selections on a small language model the FLOPs that the plan
// predicts are compared with those counted from the arguments of every backend call, beside what the published chain
// rules would have said.

#include <greentrainer/backends/counting.hpp>
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/core/random.hpp>
#include <greentrainer/cost/exact_cost.hpp>
#include <greentrainer/cost/plan_cost.hpp>
#include <greentrainer/models/model.hpp>
#include <greentrainer/models/opt.hpp>
#include <iomanip>
#include <iostream>

namespace gt = greentrainer;
using Backend = gt::CountingBackend<gt::EigenBackend<float>>;

namespace {

gt::Batch random_batch(gt::Extent vocabulary) {
  gt::CounterRandom random(1, "tokens");
  gt::Batch batch;
  for (const gt::Extent length : {48, 64, 31, 57}) {
    for (gt::Extent t = 0; t < length; ++t) {
      if (t >= length / 2) {
        batch.label_rows.push_back(static_cast<gt::Index>(batch.decoder.ids.size()));
        batch.labels.push_back(static_cast<gt::Index>(random.below(static_cast<std::uint32_t>(vocabulary))));
      }
      batch.decoder.ids.push_back(static_cast<gt::Index>(random.below(static_cast<std::uint32_t>(vocabulary))));
      batch.decoder.positions.push_back(static_cast<gt::Index>(t));
    }
    batch.decoder.offsets.push_back(static_cast<gt::Index>(batch.decoder.ids.size()));
  }
  return batch;
}

}  // namespace

int main() {
  gt::Opt opt;
  opt.vocab_size = 1000;
  opt.hidden_size = opt.word_embed_proj_dim = 128;
  opt.ffn_dim = 512;
  opt.num_hidden_layers = 4;
  opt.num_attention_heads = 4;
  opt.max_position_embeddings = 64;

  Backend backend;
  gt::Model<Backend> model(backend, opt.graph<Backend>(), gt::facts_of(opt));
  gt::CounterRandom random(2, "weights");
  for (gt::ParameterId id = 0; id < static_cast<gt::ParameterId>(model.graph().parameters().size()); ++id) {
    std::vector<float> values(static_cast<std::size_t>(model.graph().parameter(id).size()));
    for (float& v : values) v = static_cast<float>(0.05 * random.normal());
    model.parameters()[id].upload(values);
  }
  const gt::Batch batch = random_batch(opt.vocab_size);
  const gt::Workload workload = gt::workload_of(batch);
  const gt::ExactCost<Backend> cost;
  const gt::PaperCost paper = opt.paper_cost(4, 64);  // padded to the longest
  const auto full = gt::evaluate(gt::full_fine_tuning_cost(model.graph(), cost), workload);

  std::cout << "4 sequences, " << batch.decoder.tokens() << " tokens, " << batch.labelled()
            << " labelled; full fine-tuning " << std::fixed << std::setprecision(2) << static_cast<double>(full) / 1e6
            << " MFLOP\n"
            << "selected   predicted FLOPs     counted FLOPs   ratio to full   the paper's rules, padded\n";
  bool equal = true;
  for (std::uint64_t s = 0; s < 12; ++s) {
    gt::CounterRandom choice(s, "selection");
    const double density = 0.02 + 0.08 * static_cast<double>(s);
    gt::Selection selection =
        gt::select_where(model.graph(), [&](const gt::Parameter&) { return choice.uniform() < density; });
    if (s == 11) selection = gt::select_all(model.graph());
    if (selection.count() == 0) selection.insert(3);

    const gt::Schedule schedule = gt::make_schedule(model.graph(), selection);
    const auto predicted = gt::evaluate(gt::pass_cost(model.graph(), schedule.plan, cost).total(), workload);
    gt::GradientStore<Backend> gradients(backend);
    gradients.select(model.graph(), selection);
    gradients.zero();
    backend.reset();
    model.executor().run(schedule, batch,
                         {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &gradients});

    std::int64_t chain = paper.forward();  // a chain in checkpoint order: from the last tensor to the first selected
    bool deepest_seen = false;
    for (std::size_t i = 0; i < paper.tensors.size(); ++i) {
      const bool selected = selection.contains(static_cast<gt::ParameterId>(i));
      if (selected) chain += paper.tensors[i].grad_weight;
      if (deepest_seen || selected) chain += paper.tensors[i].grad_input;
      deepest_seen = deepest_seen || selected;
    }
    const auto published_full = paper.forward() + paper.grad_input() + paper.grad_weight();
    equal = equal && predicted == backend.flops();
    std::cout << std::setw(8) << selection.count() << std::setw(18) << predicted << std::setw(18) << backend.flops()
              << std::setw(16) << std::setprecision(4) << static_cast<double>(predicted) / static_cast<double>(full)
              << std::setw(28) << static_cast<double>(chain) / static_cast<double>(published_full) << '\n';
  }
  std::cout << "predicted equals counted: " << (equal ? "yes" : "no") << '\n';
  return equal ? 0 : 1;
}
