// A class of a text instead of its next word: a head over two classes on a language model, trained selectively.
//   classify MODEL [mean]     labels are read at the last token, or of the mean of all
#include <greentrainer/backends/eigen.hpp>
#include <greentrainer/greentrainer.hpp>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace gt = greentrainer;
using Backend = gt::EigenBackend<float>;

namespace {

/// Sentences about each of the names, half of them glad (class 1), half of them sad (class 0).
std::vector<gt::Example> sentences(const gt::Tokenizer& tokenizer, const std::vector<std::string>& names) {
  const std::vector<std::string> glad = {"was so happy and smiled", "loved the big red ball", "laughed and had fun",
                                         "hugged the dog and played", "said the cake was good"};
  const std::vector<std::string> sad = {"was so sad and cried", "lost the big red ball", "fell down and was hurt",
                                        "was scared of the dog and ran", "said the cake was bad"};
  std::vector<gt::Example> examples;
  for (const std::string& name : names) {
    for (const bool is_glad : {false, true}) {
      for (const std::string& ending : is_glad ? glad : sad)
        examples.push_back(gt::class_example(tokenizer.encode_sequence(name + " " + ending + "."), is_glad ? 1 : 0));
    }
  }
  return examples;
}

double accuracy(gt::Model<Backend>& model, const std::vector<gt::Example>& examples) {
  const std::vector<gt::Index> classes = gt::predict_classes(model, examples);
  double right = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) right += classes[i] == examples[i].labels.back() ? 1 : 0;
  return right / static_cast<double>(examples.size());
}

}  // namespace

int main(int argc, char** argv) {
  Backend backend;
  auto language = gt::load_pretrained(argv[1], backend);
  const auto pooling = argc > 2 && std::string_view(argv[2]) == "mean" ? gt::Pooling::mean : gt::Pooling::labelled_rows;
  auto model = gt::make_classifier(language, {.classes = 2, .pooling = pooling});

  const auto train = sentences(language.tokenizer(), {"Tom", "Lily", "The girl", "A little boy", "Mom"});
  const auto test = sentences(language.tokenizer(), {"Ben", "The old man", "Her friend"});
  const double before = accuracy(model, test);
  gt::Trainer<Backend> trainer(model, gt::GreenOptions{.flops_ratio = 0.6, .importance = "gradient-norm"},
                               gt::AdamWOptions{.learning_rate = 2e-3});
  std::cout << trainer.fit(train, {.epochs = 6, .batch_size = 5});
  const double after = accuracy(model, test);
  std::cout << "accuracy on sentences about others: " << before << " untrained, " << after << " trained\n";
  return after >= 0.9 ? 0 : 1;
}
