// greentrainer select: the paper's problem, a chain of tensors in backward order, by one of the selectors.

#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>

#include "commands.hpp"
#include "console.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/select/chain_problem.hpp"
#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "greentrainer/select/paper_selector.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer select --problem problem.json\n"
    "  greentrainer select --problem problem.json --json\n"
    "The file, elements from the output to the input: {\"grad_input\": [0,2,1,4,0], \"grad_weight\": [5,1,7,3,1],\n"
    "  \"importance\": [1,3,10,5,3], \"budget\": 14.4, \"method\": \"exact\", \"budget_steps\": 10000}\n"
    "A selection costs the grad_weight of its members and the grad_input of all elements before the deepest member.\n"
    "method: exact (default), paper (the published recursion, faults included: it may exceed the budget), ratio "
    "(greedy by importance per cost).";

struct Options {
  std::string problem, config;
  bool json = false;
};

struct Problem {
  ChainProblem chain;
  std::string method = "exact";
  std::int64_t budget_steps = 10000;
};

Problem read_problem(const std::string& path) {
  const Json json = read_json_file(path, Bytes{256} << 20, FileKind::any);
  const auto fail = [&](const std::string& place, const std::string& detail) {
    throw ConfigError("select", path + place, detail);
  };
  const auto fail_key = [&](const std::string& key, const std::string& detail) {
    fail(", key \"" + key + '"', detail);
  };
  if (!json.is_object()) fail("", text("expected a JSON object, got ", json.type_name()));
  const std::vector<std::string> keys = {"grad_input", "grad_weight", "importance", "budget", "method", "budget_steps"};
  for (const auto& [key, value] : json.items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      fail_key(key, text("expected a known key, got an unknown one", suggestion(key, keys)));
    }
  }
  const auto field = [&](const std::string& key) -> const Json& {
    if (!json.contains(key)) fail_key(key, text("expected it, got nothing; see greentrainer select --help"));
    return json[key];
  };
  const auto numbers = [&](const std::string& key) {
    const Json& array = field(key);
    if (!array.is_array()) fail_key(key, text("expected an array of numbers, got ", array.type_name()));
    std::vector<double> values;
    for (std::size_t i = 0; i < array.size(); ++i) {
      if (!array[i].is_number())
        fail(text(", key \"", key, "\", entry ", i), text("expected a number, got ", array[i].type_name()));
      values.push_back(array[i].get<double>());
    }
    return values;
  };

  Problem problem;
  problem.chain.grad_input = numbers("grad_input");
  problem.chain.grad_weight = numbers("grad_weight");
  problem.chain.importance = numbers("importance");
  if (!field("budget").is_number()) fail_key("budget", text("expected a number, got ", field("budget").type_name()));
  problem.chain.budget = field("budget").get<double>();
  if (json.contains("method")) {
    const Json& method = json["method"];
    if (method != "exact" && method != "paper" && method != "ratio")
      fail_key("method", text("expected exact, paper or ratio, got ", method.dump()));
    problem.method = method.get<std::string>();
  }
  if (json.contains("budget_steps")) {
    const Json& steps = json["budget_steps"];
    if (!steps.is_number_integer() || steps.get<double>() < 1 || steps.get<double>() > 1 << 20) {
      fail_key("budget_steps", text("expected a whole number from 1 to ", 1 << 20, ", got ", steps.dump()));
    }
    problem.budget_steps = steps.get<std::int64_t>();
  }
  try {
    validate(problem.chain);
  } catch (const ConfigError& error) {
    fail(text(", ", error.subject()), std::string(error.detail()));
  }
  return problem;
}

ChainSelection choose(const Problem& problem) {
  if (problem.method == "paper") return PaperSelector{.budget_steps = problem.budget_steps}.select(problem.chain);
  if (problem.method == "ratio") return select_on_chain(ImportancePerFlopSelector{}, problem.chain);
  return select_on_chain(ExactSelector{.budget_steps = problem.budget_steps}, problem.chain);
}

/// Whole numbers without a point.
OrderedJson number(double value) {
  if (std::floor(value) == value && std::abs(value) < 9e15) return static_cast<std::int64_t>(value);
  return value;
}

int run(const Options& options) {
  const Problem problem = read_problem(options.problem);
  const ChainSelection chosen = choose(problem);
  if (options.json) {
    OrderedJson mask = OrderedJson::array();
    for (const bool selected : chosen.mask) mask.push_back(selected ? 1 : 0);
    print_json({{"mask", mask},
                {"importance", number(chosen.importance)},
                {"cost", number(chosen.cost)},
                {"optimal", chosen.optimal},
                {"bound", std::isfinite(chosen.bound) ? number(chosen.bound) : OrderedJson()}});
    return 0;
  }
  std::vector<std::vector<std::string>> rows = {{"element", "grad_input", "grad_weight", "importance", "selected"}};
  for (std::size_t i = 0; i < chosen.mask.size(); ++i) {
    rows.push_back({text(i), text(problem.chain.grad_input[i]), text(problem.chain.grad_weight[i]),
                    text(problem.chain.importance[i]), chosen.mask[i] ? "yes" : ""});
  }
  print_table(rows);
  std::cout << "importance " << chosen.importance << ", cost " << chosen.cost << " of " << problem.chain.budget
            << (chosen.optimal ? ", optimal" : "");
  if (!chosen.optimal && std::isfinite(chosen.bound)) std::cout << ", at most " << chosen.bound << " by any choice";
  std::cout << '\n';
  return 0;
}

}  // namespace

Command make_select_command() {
  const auto options = std::make_shared<Options>();
  Command command("select", "Choose tensors of a chain under a budget", examples);
  command.text("problem", options->problem, "FILE", "JSON file with the problem");
  command.text("config", options->config, "FILE", "TOML file with any of these options");
  command.on("json", options->json, "Print one JSON object on stdout");
  command.check = [](const Command& self) { self.require("problem"); };
  command.run = [options](const Command&) { return run(*options); };
  return command;
}

}  // namespace greentrainer::program
