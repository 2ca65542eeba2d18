#include "experiment_report.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "command.hpp"
#include "console.hpp"
#include "experiment_pairs.hpp"
#include "finetune_report.hpp"
#include "greentrainer/core/version.hpp"
#include "greentrainer/io/json.hpp"
#include "machine.hpp"

namespace greentrainer::program {

namespace {

using Numbers = std::map<std::string, std::vector<double>>;  // by field, one a seed

OrderedJson mean_and_spread(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  const double mean = sum / static_cast<double>(values.size());
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {{"mean", mean},
          {"spread", values.size() > 1 ? OrderedJson(std::sqrt(squares / static_cast<double>(values.size() - 1)))
                                       : OrderedJson()}};
}

/// Every number of evaluate's report that says how good the model is: "loss", "accuracy", "rouge.rouge1", ...
void collect_scores(const OrderedJson& json, const std::string& prefix, Numbers& scores) {
  for (const auto& [key, value] : json.items()) {
    if (key == "generation") continue;  // how long it took
    if (value.is_number() && key != "tokens") scores[prefix + key].push_back(value.get<double>());
    if (value.is_object()) collect_scores(value, prefix + key + ".", scores);
  }
}

/// What training cost: without loading, evaluating and saving, which are the same for all.
void collect_costs(const OrderedJson& report, Numbers& costs) {
  const auto& flops = report.at("flops");
  const auto& seconds = report.at("seconds");
  const auto second = [&](const char* part) { return seconds.at(part).get<double>(); };
  const double choosing = second("importance") + second("selection"),
               training = second("forward") + second("backward") + second("optimizer");
  costs["ratio"].push_back(report.at("ratio").get<double>());
  costs["train_flops"].push_back(flops.at("train").get<double>());
  costs["all_flops"].push_back(flops.at("train").get<double>() + flops.at("importance").get<double>() +
                               flops.at("optimizer").get<double>());
  costs["train_seconds"].push_back(training + choosing);
  costs["choosing_share_of_seconds"].push_back(choosing / (training + choosing));
  costs["choosing_share_of_flops"].push_back(flops.at("importance").get<double>() / costs["all_flops"].back());
  costs["peak_memory_bytes"].push_back(
      report.at(report.contains("device_peak_memory_bytes") ? "device_peak_memory_bytes" : "peak_memory_bytes")
          .get<double>());
}

/// Of the selections by importance: the share of tensors that it holds for harmful, and of the budget that was spent.
void collect_choices(const OrderedJson& report, Numbers& costs) {
  for (const auto& selection : report.at("selections")) {
    const auto& importance = selection.at("importance");
    if (importance.empty()) continue;
    const auto negative = std::count_if(importance.begin(), importance.end(), [](const OrderedJson& value) {
      return value.is_number() && value.get<double>() < 0;
    });
    costs["negative_importance"].push_back(static_cast<double>(negative) / static_cast<double>(importance.size()));
    costs["budget_spent"].push_back(selection.at("cost").get<double>() / selection.at("budget").get<double>());
  }
}

OrderedJson summary(const ExperimentMethod& method, const OrderedJson& cells) {
  Numbers scores, costs;
  std::size_t seeds = 0;
  for (const auto& cell : cells) {
    if (cell.at("method") != method.name) continue;
    ++seeds;
    collect_scores(cell.at("evaluate"), "", scores);
    if (!cell.contains("finetune")) continue;
    collect_costs(cell.at("finetune"), costs);
    collect_choices(cell.at("finetune"), costs);
  }
  OrderedJson row = {{"method", method.name},
                     {"seeds", seeds},
                     {"rho", method.rho > 0 ? OrderedJson(method.rho) : OrderedJson()},
                     {"is_control", method.is_control}};
  row["scores"] = OrderedJson::object();
  for (const auto& [name, values] : scores) row["scores"][name] = mean_and_spread(values);
  for (const auto& [name, values] : costs) row[name] = mean_and_spread(values);
  if (costs.contains("ratio")) row["largest_ratio"] = *std::max_element(costs["ratio"].begin(), costs["ratio"].end());
  return row;
}

const OrderedJson* method_named(const OrderedJson& report, const std::string& name) {
  for (const auto& row : report.at("methods")) {
    if (row.at("method") == name && row.at("seeds").get<int>() > 0) return &row;
  }
  return nullptr;
}

std::string percent(double share) { return fixed(100 * share, 1) + "%"; }

std::optional<std::string> lost_score(const OrderedJson& report, const OrderedJson& row, const OrderedJson& reference) {
  const auto name = report.at("score").get<std::string>();
  const auto& own = row.at("scores").at(name);
  const auto& full = reference.at("scores").at(name);
  const double sign = report.at("lower_is_better").get<bool>() ? 1 : -1;
  const double lost = sign * (own.at("mean").get<double>() - full.at("mean").get<double>()),
               of = std::abs(full.at("mean").get<double>());
  const auto spread = [](const OrderedJson& value) {
    return value.at("spread").is_null() ? 0 : value.at("spread").get<double>();
  };
  const double noise = std::hypot(spread(own), spread(full));
  if (lost <= 0.02 * of || lost <= noise) return std::nullopt;
  const bool promised = !row.at("rho").is_null(), known = !own.at("spread").is_null() && !full.at("spread").is_null();
  return text(
      row.at("method").get<std::string>(), promised ? ": score lost at this budget: " : ": score lost: ", name, " is ",
      percent(lost / of), " worse than ", reference.at("method").get<std::string>(), "'s (",
      fixed(own.at("mean").get<double>(), 4), " against ", fixed(full.at("mean").get<double>(), 4),
      known ? text(", spread ", fixed(noise, 4), ").") : ", one seed, spread unknown).",
      promised
          ? " A larger --rho, a larger learning rate for the fewer tensors, or choosing more often may win it back."
          : "");
}

OrderedJson frontiers(const OrderedJson& report) {
  OrderedJson all = OrderedJson::array();
  const auto add = [&](const std::string& score, bool lower_is_better) {
    const Frontier frontier = frontier_of(report, score, lower_is_better);
    OrderedJson names = OrderedJson::array();
    for (const ComparedMethod& m : frontier.line()) names.push_back(m.name);
    all.push_back({{"score", score},
                   {"lower_is_better", lower_is_better},
                   {"methods", names},
                   {"words", frontier.words(score, 1e12, "TFLOPs")}});
  };
  const auto score = report.at("score").get<std::string>();
  add(score, report.at("lower_is_better").get<bool>());
  if (score != "loss") add("loss", true);
  return all;
}

}  // namespace

Frontier frontier_of(const OrderedJson& report, const std::string& score, bool lower_is_better) {
  std::vector<ComparedMethod> methods;
  for (const auto& row : report.at("methods")) {
    if (!row.contains("all_flops") || !row.at("scores").contains(score)) continue;
    const auto& value = row.at("scores").at(score);
    methods.push_back(
        {.name = row.at("method").get<std::string>(),
         .cost = row.at("all_flops").at("mean").get<double>(),
         .score = value.at("mean").get<double>(),
         .spread = value.at("spread").is_null() ? std::nullopt : std::optional(value.at("spread").get<double>()),
         .is_control = row.at("is_control").get<bool>()});
  }
  return Frontier(std::move(methods), lower_is_better);
}

std::vector<std::string> diagnose(const OrderedJson& report) {
  std::vector<std::string> found;
  const OrderedJson* reference = method_named(report, report.at("reference").get<std::string>());
  for (const auto& row : report.at("methods")) {
    if (!row.contains("ratio")) continue;  // nothing was trained
    if (reference != nullptr && &row != reference) {
      if (const auto lost = lost_score(report, row, *reference)) found.push_back(*lost);
    }
    if (row.at("rho").is_null()) continue;  // nothing was promised
    const auto name = row.at("method").get<std::string>();
    const double rho = row.at("rho").get<double>(), ratio = row.at("largest_ratio").get<double>();
    if (ratio > rho) {
      found.push_back(text(name, ": budget promised and not met: ", fixed(ratio, 4),
                           " of full training's FLOPs were spent where ", rho,
                           " was asked for. Was selection told of all dependencies (--dependencies graph), and is the "
                           "cost model the one of this backend?"));
    }
    if (row.contains("negative_importance")) {
      const double negative = row.at("negative_importance").at("mean").get<double>(),
                   spent = row.at("budget_spent").at("mean").get<double>();
      if (const std::string advice = overshoot_advice(negative); !advice.empty()) found.push_back(name + ": " + advice);
      if (spent < 0.97) {
        found.push_back(text(name, ": ", percent(spent),
                             " of the budget was spent: nothing else that fits had a positive importance."));
      }
    }
    const double share = row.at("choosing_share_of_seconds").at("mean").get<double>();
    if (share > 0.05) {
      found.push_back(
          text(name, ": importance and selection took ", percent(share),
               " of training's time, more than 5%. A run this short pays for them in few steps: choose less often ",
               "(--reselect-every), take the first-order importance (one pass instead of two), or train longer."));
    }
  }
  return found;
}

OrderedJson experiment_report(const ExperimentPlan& plan, OrderedJson cells) {
  OrderedJson report = {{"name", plan.name},           {"note", plan.note},
                        {"score", plan.score},         {"lower_is_better", plan.lower_is_better},
                        {"reference", plan.reference}, {"machine", machine_name()},
                        {"version", version}};
  report["methods"] = OrderedJson::array();
  for (const ExperimentMethod& method : plan.methods) report["methods"].push_back(summary(method, cells));
  for (const auto& row : report["methods"]) {
    if (row.at("seeds").get<int>() == 0 || row.at("scores").contains(plan.score)) continue;
    std::vector<std::string> names;
    for (const auto& [name, value] : row.at("scores").items()) names.push_back(name);
    throw ConfigError("experiment", "key \"score\"",
                      text("expected a field of evaluate's report, got ", plan.score, suggestion(plan.score, names)));
  }
  report["frontiers"] = frontiers(report);
  report["paired"] = paired_differences(report, cells);
  report["diagnoses"] = diagnose(report);
  report["cells"] = std::move(cells);
  return report;
}

}  // namespace greentrainer::program
