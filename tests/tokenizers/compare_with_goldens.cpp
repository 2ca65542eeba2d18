// Compares a tokenizer with ids that Hugging Face's `tokenizers` gave: one JSON object {"text", "ids"} on each line,
// without special tokens around, and "decoded" where decoding the ids does not give the text.
//     compare_with_goldens MODEL_FOLDER GOLDENS.jsonl
// Prints the number of lines and of differences (the first few in full); exit status 1 if there are any, 2 if it could
// not compare.
#include <exception>
#include <fstream>
#include <iostream>
#include <string>

#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"

int main(int argc, char** argv) {
  using namespace greentrainer;
  if (argc != 3) {
    std::cerr << "usage: compare_with_goldens MODEL_FOLDER GOLDENS.jsonl\n";
    return 2;
  }
  try {
    const auto tokenizer = load_tokenizer(argv[1]);
    std::ifstream goldens(argv[2]);
    std::size_t lines = 0;
    std::size_t ids = 0;
    std::size_t differences = 0;
    std::size_t decoded_differently = 0;
    for (std::string line; std::getline(goldens, line); ++lines) {
      const auto golden = parse_json(line, text(argv[2], ", line ", lines + 1));
      const auto input = golden.at("text").get<std::string>();
      const auto expected = golden.at("ids").get<std::vector<Index>>();
      const auto got = tokenizer->encode(input);
      ids += got.size();
      const auto decoded = golden.value("decoded", input);
      if (tokenizer->decode(expected, false) != decoded && ++decoded_differently <= 5) {
        std::cerr << "line " << lines + 1 << ": expected to decode " << Json(decoded) << ", got "
                  << Json(tokenizer->decode(expected, false)) << '\n';
      }
      if (got == expected) continue;
      if (++differences <= 5)
        std::cerr << "line " << lines + 1 << ": expected " << Json(expected) << ", got " << Json(got) << "\n  "
                  << Json(input) << '\n';
    }
    if (lines == 0) throw LoadError("compare_with_goldens", text(argv[2], ": expected lines, got none"));
    std::cout << argv[2] << ": " << lines << " lines, " << ids << " ids, " << differences << " differences; "
              << decoded_differently << " decoded differently\n";
    return differences + decoded_differently == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
}
