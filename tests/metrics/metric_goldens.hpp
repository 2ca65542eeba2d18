#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "greentrainer/io/json.hpp"
#include "greentrainer/metrics/lower_case.hpp"
#include "greentrainer/metrics/rouge.hpp"
#include "greentrainer/metrics/squad.hpp"

namespace greentrainer::testing {

/// What comparing a file of golden scores found.
struct GoldenComparison {
  std::size_t lines = 0;
  std::size_t differences = 0;
  double largest = 0;  ///< difference of a number
  std::string first;   ///< the line of the first difference
};

inline constexpr double largest_allowed_difference = 1e-9;

/// Compares each line of a file; `compare(line)` says how far off we are.
template <class Compare>
GoldenComparison compare_lines(const std::filesystem::path& path, Compare compare) {
  GoldenComparison comparison;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line); ++comparison.lines) {
    const double difference = compare(line);
    comparison.largest = std::max(comparison.largest, difference);
    if (difference <= largest_allowed_difference) continue;
    if (comparison.differences++ == 0) comparison.first = line;
  }
  return comparison;
}

/// Files of tests/golden/metrics, or of make_metric_goldens.py --full.
inline GoldenComparison compare_rouge(const std::filesystem::path& folder) {
  return compare_lines(folder / "rouge.jsonl", [](const std::string& line) {
    const Json golden = parse_json(line, "rouge.jsonl");
    const auto scores =
        rouge_scores(golden.at("references").get<std::vector<std::string>>(),
                     golden.at("prediction").get_ref<const std::string&>(), golden.at("stem").get<bool>());
    double difference = 0;
    const auto compare = [&](const char* kind, const RougeScore& score) {
      const Json& expected = golden.at(kind);
      for (const auto& [i, value] :
           {std::pair(0, score.precision), std::pair(1, score.recall), std::pair(2, score.f)}) {
        difference = std::max(difference, std::abs(expected.at(static_cast<std::size_t>(i)).get<double>() - value));
      }
    };
    compare("rouge1", scores.rouge1);
    compare("rouge2", scores.rouge2);
    compare("rougeL", scores.rouge_l);
    compare("rougeLsum", scores.rouge_lsum);
    return difference;
  });
}

inline GoldenComparison compare_squad(const std::filesystem::path& folder) {
  return compare_lines(folder / "squad.jsonl", [](const std::string& line) {
    const Json golden = parse_json(line, "squad.jsonl");
    const auto score = answer_score(golden.at("references").get<std::vector<std::string>>(),
                                    golden.at("prediction").get_ref<const std::string&>());
    return std::max(std::abs(golden.at("exact_match").get<double>() - score.exact_match),
                    std::abs(golden.at("f1").get<double>() - score.f1));
  });
}

inline GoldenComparison compare_stems(const std::filesystem::path& folder) {
  return compare_lines(folder / "stems.txt", [](const std::string& line) {
    const auto space = line.find(' ');
    return porter_stem(line.substr(0, space)) == line.substr(space + 1) ? 0.0 : 1.0;
  });
}

inline GoldenComparison compare_lower_case(const std::filesystem::path& folder) {
  return compare_lines(folder / "lower.jsonl", [](const std::string& line) {
    const Json golden = parse_json(line, "lower.jsonl");
    return lower_case(golden.at("text").get_ref<const std::string&>()) ==
                   golden.at("lower").get_ref<const std::string&>()
               ? 0.0
               : 1.0;
  });
}

}  // namespace greentrainer::testing
