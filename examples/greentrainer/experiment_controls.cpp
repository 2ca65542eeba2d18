#include "experiment_controls.hpp"

#include <algorithm>
#include <optional>

#include "command.hpp"
#include "greentrainer/core/text.hpp"

namespace greentrainer::program {

namespace {

const std::string random_control = "random-same-depth";
const std::vector<std::string> control_names = {"full-fewer-steps", "full-smaller-batches", "lora-fewer-steps",
                                                "lora-smaller-batches", random_control};

std::vector<std::string> asked_controls(const toml::table& file, const std::string& path) {
  std::vector<std::string> asked;
  const toml::array* array = file["controls"].as_array();
  for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
    const std::string name = (*array)[i].value_or(std::string("something else"));
    if (std::find(control_names.begin(), control_names.end(), name) == control_names.end())
      bad_usage("experiment", text(path, ", key \"controls\": expected names of controls, got ", name,
                                   suggestion(name, control_names)));
    asked.push_back(name);
  }
  if (file.contains("controls") && asked.empty()) {
    bad_usage("experiment", text(path, ", key \"controls\": expected an array of names of controls, got none",
                                 suggestion("", control_names)));
  }
  return asked;
}

double number_of(const toml::table& table, const std::string& key, const std::string& path) {
  const auto number = table[key].value<double>();
  if (!number) bad_usage("experiment", text(path, ", key \"", key, "\": expected a number, got something else"));
  return *number;
}

/// Of controls that train everything: the key's, else [finetune]'s. LoRA's: the key's, else 10 times that.
double learning_rate(const toml::table& file, const toml::table& common, const std::string& path, bool lora) {
  const char* own = lora ? "control-lora-learning-rate" : "control-learning-rate";
  if (file.contains(own)) return number_of(file, own, path);
  if (lora) return 10 * learning_rate(file, common, path, false);
  if (common.contains("learning-rate")) return number_of(common, "learning-rate", path);
  bad_usage("experiment", text(path, ", key \"", own,
                               "\": expected the learning rate of the controls that train everything, got none; give "
                               "it, or a learning-rate in [finetune]"));
}

/// [finetune] without what is for some methods alone.
toml::table common_of_controls(toml::table common) {
  for (const char* key : {"method",
                          "rho",
                          "phases",
                          "importance",
                          "importance-batches",
                          "importance-step",
                          "worth",
                          "sampling",
                          "frozen-format",
                          "reselect-every",
                          "selector",
                          "dependencies",
                          "adapters",
                          "adapter-rate-factor",
                          "tensors",
                          "prefix-tokens",
                          "adapter-output",
                          "lora-targets",
                          "context-gradients",
                          "exact-ending",
                          "passing",
                          "passing-share",
                          "budget",
                          "budget-cuts",
                          "learning-rate"}) {
    common.erase(key);
  }
  return common;
}

std::optional<std::string> value_of(const MethodTable& method, const char* key) {
  return (method.own.contains(key) ? method.own : method.common)[key].value<std::string>();
}

}  // namespace

void add_controls(const toml::table& file, const std::string& path, const std::string& reference,
                  std::vector<MethodTable>& methods) {
  const std::vector<std::string> asked = asked_controls(file, path);
  if (asked.empty()) return;
  std::vector<std::string> budgets;
  std::vector<MethodTable> controls;
  const bool randomly = std::find(asked.begin(), asked.end(), random_control) != asked.end();
  for (const MethodTable& method : methods) {
    const auto budget = value_of(method, "budget");
    if (!budget || value_of(method, "name") == reference) continue;
    if (std::find(budgets.begin(), budgets.end(), *budget) == budgets.end()) budgets.push_back(*budget);
    if (!randomly || value_of(method, "method").value_or("green") != "green") continue;
    MethodTable control = method;
    control.own.insert_or_assign("name", value_of(method, "name").value_or("") + ", random at the same depth");
    control.own.insert_or_assign("selector", "random-at-depth");
    control.is_control = true;
    controls.push_back(std::move(control));
  }
  if (budgets.empty()) {
    bad_usage("experiment", text(path, ", key \"controls\": expected a budget of a method beside ", reference,
                                 " to hold controls to, got none; give a budget, such as \"0.5x\""));
  }
  for (const std::string& budget : budgets) {
    for (const std::string& name : asked) {
      if (name == random_control) continue;
      const bool lora = name.starts_with("lora"), steps = name.ends_with("steps");
      MethodTable control{.own = {}, .common = common_of_controls(methods.front().common), .is_control = true};
      control.own.insert("name",
                         text(lora ? "LoRA" : "full", steps ? ", fewer steps, " : ", smaller batches, ", budget));
      control.own.insert("method", lora ? "lora" : "full");
      control.own.insert("budget", budget);
      control.own.insert("budget-cuts", steps ? "steps" : "batch");
      control.own.insert("learning-rate", learning_rate(file, methods.front().common, path, lora));
      if (lora)
        control.own.insert("lora-targets", "all-linear");
      else {
        for (const char* key : {"lora-r", "lora-alpha", "lora-dropout"}) control.common.erase(key);
      }
      controls.push_back(std::move(control));
    }
  }
  methods.insert(methods.end(), controls.begin(), controls.end());
}

}  // namespace greentrainer::program
