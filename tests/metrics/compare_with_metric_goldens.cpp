// Compares the metrics with all that make_metric_goldens.py --full wrote.
//     compare_with_metric_goldens FOLDER
// Prints lines, differences and the largest one; exit status 1 if there is any beyond 1e-9, 2 if it could not compare.
#include <exception>
#include <iostream>

#include "metrics/metric_goldens.hpp"

int main(int argc, char** argv) {
  using namespace greentrainer::testing;
  if (argc != 2) {
    std::cerr << "usage: compare_with_metric_goldens FOLDER\n";
    return 2;
  }
  try {
    bool equal = true;
    const auto report = [&](const char* what, const GoldenComparison& comparison) {
      std::cout << what << ": " << comparison.lines << " lines, " << comparison.differences
                << " differences, the largest " << comparison.largest << '\n';
      if (!comparison.first.empty()) std::cout << "  " << comparison.first << '\n';
      equal = equal && comparison.lines > 0 && comparison.differences == 0;
    };
    report("rouge", compare_rouge(argv[1]));
    report("squad", compare_squad(argv[1]));
    report("stems", compare_stems(argv[1]));
    report("lower case", compare_lower_case(argv[1]));
    return equal ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
}
