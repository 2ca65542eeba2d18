// finetune MODEL TRAIN.jsonl OUTPUT
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/greentrainer.hpp>
#include <iostream>
namespace gt = greentrainer;

int main(int, char** argv) {
  gt::EigenBackend backend;
  auto model = gt::load_pretrained(argv[1], backend);
  auto data = gt::load_jsonl(argv[2], model);
  gt::Trainer trainer{model, gt::GreenOptions{.flops_ratio = 0.5}, gt::AdamWOptions{.learning_rate = 5e-4}};
  std::cout << trainer.fit(data, {.epochs = 1, .batch_size = 4});
  gt::save_pretrained(model, argv[3]);
}
