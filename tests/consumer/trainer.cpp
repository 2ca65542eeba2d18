// What a user of the library writes, compiled with the warnings that users have: members of aggregates are left out
// where their defaults do, and every template that training, evaluation and generation need is made.
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/greentrainer.hpp>
#include <greentrainer/report/plot.hpp>
#include <greentrainer/select/chain_problem.hpp>
#include <iostream>
#include <string>
#include <vector>

namespace gt = greentrainer;

int main(int argc, char** argv) {
  const std::vector<gt::Example> examples = {gt::Example{.input_ids = {1, 2, 3}, .labels = {1, 2, 3}}};
  const gt::SelectionProblem problem{.dag = {.nodes = {{.cost = 2}}, .items = {{.cost = 3, .importance = 1.5}}},
                                     .budget = 5};
  const gt::ChainProblem chain{.grad_input = {1}, .grad_weight = {1}, .importance = {1}, .budget = 2};
  gt::Batch batch{.labels = {1}};
  batch.decoder = {.ids = {1}};
  const gt::Plot plot{.title = "loss", .series = {{.name = "full"}}};
  if (argc < 4) {
    std::cout << examples.size() + problem.dag.items.size() + chain.importance.size() + plot.series.size() << '\n';
    return 0;
  }
  gt::EigenBackend backend;
  auto model = gt::load_pretrained(argv[1], backend);
  const auto data = gt::load_jsonl(argv[2], model.tokenizer(), {.max_tokens = 64});
  gt::Trainer trainer{model, gt::GreenOptions{.flops_ratio = 0.5}, gt::AdamWOptions{.learning_rate = 5e-4}};
  std::cout << trainer.fit(data, {.epochs = 1, .batch_size = 4});
  std::cout << gt::evaluate(model, data.examples).loss << '\n';
  const std::vector<std::vector<gt::Index>> prompts = {{1, 2, 3}};
  for (const gt::Generated& one : gt::generate(model, prompts, gt::GenerateOptions{.max_new_tokens = 8}))
    std::cout << model.tokenizer().decode(one.ids) << '\n';
  gt::save_pretrained(model, argv[3]);
}
