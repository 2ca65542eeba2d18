#include "experiment_pairs.hpp"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/io/json.hpp"
#include "greentrainer/metrics/paired_bootstrap.hpp"

namespace greentrainer::program {

namespace {

/// Of one evaluation: a score for each example, and the example's weight.
struct OfExamples {
  std::vector<double> scores, weights;
};

/// The examples' own scores of a field of evaluate's report, such as "loss", "accuracy", "f1" or "rouge.rougeL";
/// nothing where it has none.
std::optional<OfExamples> of_examples(const OrderedJson& evaluation, const std::string& field) {
  OfExamples all;
  if (field == "loss") {
    for (const auto& one : evaluation.value("examples", OrderedJson::array())) {
      all.scores.push_back(one.at("loss").get<double>());
      all.weights.push_back(one.at("tokens").get<double>());
    }
  } else if (field == "accuracy") {
    for (const auto& one : evaluation.value("choices", OrderedJson::array()))
      all.scores.push_back(one.at("chosen") == one.at("answer") ? 1 : 0);
  } else {
    const std::string name = field.substr(field.find('.') + 1);
    for (const auto& one : evaluation.value("generations", OrderedJson::array())) {
      if (!one.at("scores").contains(name)) return std::nullopt;
      all.scores.push_back(one.at("scores").at(name).get<double>());
    }
  }
  if (all.scores.empty()) return std::nullopt;
  return all;
}

/// The cells of a method by their seeds.
std::map<std::int64_t, const OrderedJson*> cells_of(const OrderedJson& cells, const std::string& method) {
  std::map<std::int64_t, const OrderedJson*> of_seed;
  for (const auto& cell : cells) {
    if (cell.at("method") == method && cell.at("seed").is_number())
      of_seed[cell.at("seed").get<std::int64_t>()] = &cell;
  }
  return of_seed;
}

std::optional<OrderedJson> compare(const OrderedJson& cells, const std::string& method, const std::string& against,
                                   const std::string& field) {
  ScoresByRun own, others;
  std::vector<double> weights;
  const auto other_cells = cells_of(cells, against);
  for (const auto& [seed, cell] : cells_of(cells, method)) {
    const auto other = other_cells.find(seed);
    if (other == other_cells.end()) continue;
    auto mine = of_examples(cell->at("evaluate"), field), theirs = of_examples(other->second->at("evaluate"), field);
    if (!mine || !theirs || mine->scores.size() != theirs->scores.size()) return std::nullopt;
    if (!own.empty() && own.front().size() != mine->scores.size()) return std::nullopt;
    weights = std::move(mine->weights);
    own.push_back(std::move(mine->scores));
    others.push_back(std::move(theirs->scores));
  }
  if (own.empty()) return std::nullopt;
  const PairedDifference found = paired_difference(own, others, weights);
  return OrderedJson{{"method", method},
                     {"against", against},
                     {"field", field},
                     {"seeds", own.size()},
                     {"examples", own.front().size()},
                     {"difference", found.mean},
                     {"standard_error", found.standard_error},
                     {"low", found.low},
                     {"high", found.high}};
}

}  // namespace

OrderedJson paired_differences(const OrderedJson& report, const OrderedJson& cells) {
  const auto score = report.at("score").get<std::string>(), reference = report.at("reference").get<std::string>();
  std::vector<std::pair<std::string, bool>> fields = {{score, report.at("lower_is_better").get<bool>()}};
  if (score != "loss") fields.emplace_back("loss", true);
  OrderedJson all = OrderedJson::array();
  for (const auto& row : report.at("methods")) {
    const auto method = row.at("method").get<std::string>();
    if (!row.contains("ratio") || row.at("is_control").get<bool>() || method == reference) continue;
    for (const auto& other : report.at("methods")) {
      const auto against = other.at("method").get<std::string>();
      if (!other.contains("ratio") || (against != reference && !other.at("is_control").get<bool>())) continue;
      for (const auto& [field, lower_is_better] : fields) {
        auto one = compare(cells, method, against, field);
        if (!one) continue;
        (*one)["lower_is_better"] = lower_is_better;
        all.push_back(std::move(*one));
      }
    }
  }
  return all;
}

}  // namespace greentrainer::program
