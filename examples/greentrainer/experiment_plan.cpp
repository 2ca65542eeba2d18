#include "experiment_plan.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <set>
#include <utility>

#include "commands.hpp"
#include "config_file.hpp"
#include "experiment_controls.hpp"
#include "option_values.hpp"
#include "toml_parser.hpp"

namespace greentrainer::program {

namespace {

/// Options that the runner sets itself.
bool is_own(const std::string& option) {
  return option == "output" || option == "seed" || option == "json" || option == "config";
}

std::vector<std::string> free_options(const Command& command) {
  std::vector<std::string> names;
  for (const auto& option : command.options()) {
    if (!is_own(option.name)) names.push_back(option.name);
  }
  return names;
}

/// The arguments that a table of options stands for. The values are tried on `command`, so that a mistake is found
/// before hours are spent.
std::vector<std::string> arguments_of(const toml::table& table, const std::string& where, Command& command,
                                      const std::set<std::string>& passed_over = {}) {
  std::vector<std::string> arguments;
  for (const auto& [toml_key, node] : table) {
    const std::string key(toml_key.str()), place = text(where, ", key \"", key, '"');
    if (passed_over.contains(key)) continue;
    Command::Option* option = command.find(key);
    if (option == nullptr || is_own(key)) {
      bad_usage("experiment",
                text(place, ": expected an option of ", command.name(), " that the experiment leaves open, got another",
                     suggestion(key, free_options(command))));
    }
    const std::vector<std::string> values = option_values(place, node, option->list);
    try {
      option->set(values);
      option->source = Command::Source::file;
    } catch (const UsageError& error) {
      bad_usage("experiment", text(where, ", ", error.message()));
    }
    if (option->is_switch()) {
      if (values.back() == "true") arguments.push_back("--" + key);
      continue;
    }
    std::string joined;
    for (const std::string& value : values) joined += (joined.empty() ? "" : ",") + value;
    arguments.insert(arguments.end(), {"--" + key, joined});
  }
  return arguments;
}

template <class T>
void read_key(const toml::table& table, const std::string& where, const std::string& key, T& target) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return;
  const auto value = node->value_exact<T>();
  if (!value)
    bad_usage("experiment", text(where, ", key \"", key, "\": expected ",
                                 std::is_same_v<T, bool> ? "true or false" : "a text", ", got something else"));
  target = *value;
}

void check_keys(const toml::table& table, const std::string& where, const std::vector<std::string>& known) {
  for (const auto& [key, node] : table) {
    if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
    bad_usage("experiment", text(where, ", key \"", key.str(), "\": expected a known key, got another",
                                 suggestion(key.str(), known)));
  }
}

std::vector<std::int64_t> read_seeds(const toml::table& file, const std::string& path) {
  const toml::array* array = file["seeds"].as_array();
  std::vector<std::int64_t> seeds;
  for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
    const auto seed = (*array)[i].value_exact<std::int64_t>();
    if (!seed || *seed < 0 || *seed > std::numeric_limits<Index>::max() ||
        std::find(seeds.begin(), seeds.end(), *seed) != seeds.end()) {
      bad_usage("experiment",
                text(path, ", key \"seeds\": expected whole numbers from 0 on, each once, got something else at place ",
                     i + 1));
    }
    seeds.push_back(*seed);
  }
  if (seeds.empty())
    bad_usage("experiment", text(path, ", key \"seeds\": expected an array of at least one whole number"));
  return seeds;
}

const toml::table& required_table(const toml::table& file, const std::string& path, const std::string& name) {
  const toml::table* table = file[name].as_table();
  if (table == nullptr)
    bad_usage("experiment", text(path, ": expected a table [", name, "] with options of ", name, ", got none"));
  return *table;
}

/// Checks options that stand together, as the command itself would.
void check_options(const Command& command, const std::string& where) {
  try {
    command.check(command);
  } catch (const UsageError& error) {
    bad_usage("experiment", text(where, ", ", error.message()));
  }
}

void check_file(const std::string& where, const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    throw LoadError("experiment", where, text("expected a file or folder, got none named ", path));
}

ExperimentMethod read_method(const toml::table& table, const toml::table& common, const std::string& path,
                             std::size_t place) {
  ExperimentMethod method;
  read_key(table, path, "name", method.name);
  const std::string where = text(path, ", [[method]] ", method.name.empty() ? text(place) : method.name);
  if (method.name.empty()) bad_usage("experiment", text(where, ": expected a name, got none"));
  if (table["method"].value<std::string>() == "none") {
    check_keys(table, where, {"name", "method"});
    method.trains = false;
    return method;
  }
  // A method's own option takes the place of the common one.
  toml::table others = common;
  for (const auto& [key, node] : table) others.erase(key);
  for (const auto& [one, other] :
       {std::pair{"steps", "epochs"}, {"epochs", "steps"}, {"rho", "phases"}, {"phases", "rho"}}) {
    if (table.contains(one)) others.erase(other);
  }
  const toml::table& rest = others;
  Command finetune = make_finetune_command();
  method.finetune = arguments_of(rest, path + ", [finetune]", finetune);
  const std::vector<std::string> own = arguments_of(table, where, finetune, {"name"});
  method.finetune.insert(method.finetune.end(), own.begin(), own.end());
  Command::Option& output = *finetune.find("output");  // the runner's
  output.source = Command::Source::file;
  check_options(finetune, where);
  const auto option = [&](const char* key) {
    return toml::node_view<const toml::node>((table.contains(key) ? table : rest).get(key));
  };
  for (const char* key : {"model", "train", "validation"}) {
    if (const auto file = option(key).value<std::string>()) check_file(text(where, ", key \"", key, '"'), *file);
  }
  const bool has_rho = option("method").value_or(std::string("green")) == "green" && !option("phases");
  if (has_rho) method.rho = option("rho").value_or(0.5);
  if (const auto budget = option("budget").value<std::string>())
    method.spends_joules = parse_budget("experiment", *budget, "batch").joules > 0;
  method.backend.name = option("backend").value_or(method.backend.name);
  method.backend.device = option("device").value_or(method.backend.device);
  return method;
}

/// The tables [[method]], with the file's budget for all that train but the reference, and the controls.
std::vector<MethodTable> method_tables(const toml::table& file, const toml::table& common, const std::string& path,
                                       const std::string& reference) {
  std::string budget;
  read_key(file, path, "budget", budget);
  std::vector<MethodTable> tables;
  const toml::array* methods = file["method"].as_array();
  for (std::size_t i = 0; methods != nullptr && i < methods->size(); ++i) {
    const toml::table* table = (*methods)[i].as_table();
    if (table == nullptr) bad_usage("experiment", text(path, ": expected tables [[method]], got something else"));
    tables.push_back({.own = *table, .common = common});
    const bool trains = (*table)["method"].value<std::string>() != "none";
    if (!budget.empty() && trains && (*table)["name"].value<std::string>() != reference)
      tables.back().own.insert("budget", budget);  // unless it has its own
  }
  add_controls(file, path, reference, tables);
  return tables;
}

}  // namespace

ExperimentPlan read_experiment(const std::string& path) {
  const toml::table file = read_toml("experiment", path);
  check_keys(file, path,
             {"name", "note", "output", "score", "lower-is-better", "reference", "keep-models", "seeds", "finetune",
              "evaluate", "method", "budget", "controls", "control-learning-rate", "control-lora-learning-rate"});
  ExperimentPlan plan;
  read_key(file, path, "name", plan.name);
  read_key(file, path, "note", plan.note);
  read_key(file, path, "output", plan.output);
  read_key(file, path, "score", plan.score);
  plan.lower_is_better = plan.score == "loss" || plan.score == "perplexity";
  read_key(file, path, "lower-is-better", plan.lower_is_better);
  read_key(file, path, "reference", plan.reference);
  read_key(file, path, "keep-models", plan.keep_models);
  for (const auto& [key, value] : {std::pair("name", &plan.name), std::pair("output", &plan.output)}) {
    if (value->empty()) bad_usage("experiment", text(path, ", key \"", key, "\": expected a text, got none"));
  }
  plan.seeds = read_seeds(file, path);

  Command evaluate = make_evaluate_command();
  const toml::table& finetune_table = required_table(file, path, "finetune");
  toml::table evaluate_table = required_table(file, path, "evaluate");
  // Scored as it was trained, unless told.
  for (const char* key : {"max-tokens", "target-tokens", "truncation", "pack", "backend", "device", "precision"}) {
    if (const toml::node* value = finetune_table.get(key)) evaluate_table.insert(key, *value);
  }
  plan.evaluate = arguments_of(evaluate_table, path + ", [evaluate]", evaluate);
  plan.model = finetune_table["model"].value_or(std::string());
  if (plan.model.empty())
    bad_usage("experiment", text(path, ", [finetune], key \"model\": expected the folder of a model, got none"));
  if (evaluate_table.contains("model"))
    bad_usage(
        "experiment",
        text(path, ", [evaluate], key \"model\": expected no model, since each run's own is evaluated; remove it"));
  evaluate.find("model")->source = Command::Source::file;
  check_options(evaluate, path + ", [evaluate]");
  check_file(path + ", [evaluate], key \"data\"", evaluate_table["data"].value_or(std::string()));

  const std::vector<MethodTable> methods = method_tables(file, finetune_table, path, plan.reference);
  for (std::size_t i = 0; i < methods.size(); ++i) {
    plan.methods.push_back(read_method(methods[i].own, methods[i].common, path, i + 1));
    plan.methods.back().is_control = methods[i].is_control;
    for (std::size_t j = 0; j < i; ++j) {
      if (plan.methods[j].name == plan.methods[i].name)
        bad_usage("experiment",
                  text(path, ", [[method]] ", plan.methods[i].name, ": expected names of their own, got one twice"));
    }
  }
  if (plan.methods.empty()) bad_usage("experiment", text(path, ": expected at least one table [[method]], got none"));
  const auto is_reference = [&](const ExperimentMethod& method) { return method.name == plan.reference; };
  if (file.contains("reference") && std::none_of(plan.methods.begin(), plan.methods.end(), is_reference)) {
    std::vector<std::string> names;
    for (const ExperimentMethod& method : plan.methods) names.push_back(method.name);
    bad_usage("experiment", text(path, ", key \"reference\": expected the name of a method, got ", plan.reference,
                                 suggestion(plan.reference, names)));
  }
  return plan;
}

}  // namespace greentrainer::program
