// print_ids MODEL ROWS.jsonl: what the rows of a file become with the tokenizer of a model's folder or GGUF file, one
// JSON object a line: {"line", "ids", "labels"}.
#include <cstddef>
#include <greentrainer/data/load_jsonl.hpp>
#include <greentrainer/io/json.hpp>
#include <greentrainer/pretrained/model_source.hpp>
#include <greentrainer/tokenizers/load_tokenizer.hpp>
#include <iostream>
namespace gt = greentrainer;

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: print_ids MODEL ROWS.jsonl\n";
    return 2;
  }
  try {
    const auto tokenizer = gt::load_tokenizer(gt::open_model("print_ids", argv[1]).files);
    const gt::Dataset data = gt::load_jsonl(argv[2], *tokenizer, {.max_tokens = 1 << 20});
    for (std::size_t i = 0; i < data.examples.size(); ++i) {
      const gt::Example& example = data.examples[i];
      std::cout << gt::Json{{"line", data.lines[i]}, {"ids", example.input_ids}, {"labels", example.labels}} << '\n';
    }
  } catch (const gt::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
