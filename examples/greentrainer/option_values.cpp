#include "option_values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "command.hpp"

namespace greentrainer::program {

namespace {

/// The number that a text begins with, and what follows it.
std::pair<std::int64_t, std::string> number_and_unit(const std::string& value, std::int64_t otherwise) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  return {error == std::errc{} ? number : otherwise, std::string(end, value.data() + value.size())};
}

}  // namespace

Interval parse_interval(const std::string& flag, const std::string& value) {
  const auto [every, unit] = number_and_unit(value, 0);
  if (every < 1 || every > most_steps || (unit != "e" && unit != "s")) {
    bad_usage("finetune", text(flag, ": expected a number of epochs or steps such as 2e or 100s, got ", value));
  }
  return {.every = every, .unit = unit == "e" ? Interval::Unit::epochs : Interval::Unit::steps};
}

std::vector<Phase> parse_phases(const std::string& where, const std::vector<std::string>& values) {
  std::vector<Phase> phases;
  for (const std::string& value : values) {
    Phase phase;
    double percent = 0;
    const char* const last = value.data() + value.size();
    const auto [colon, wrong] = std::from_chars(value.data(), last, phase.flops_ratio);
    const bool has_ratio = wrong == std::errc{} && colon != last && *colon == ':';
    const auto [end, error] = std::from_chars(has_ratio ? colon + 1 : last, last, percent);
    if (!has_ratio || error != std::errc{} || std::string_view(end, last) != "%")
      bad_usage(where, text("--phases: expected values of rho with shares of the steps, such as 1:10%,0.4:90%, "
                            "got ",
                            value));
    phase.steps = percent / 100;
    phases.push_back(phase);
  }
  try {
    check_phases(phases);
  } catch (const ConfigError& error) {
    bad_usage(where, text("--phases: ", error.detail()));
  }
  return phases;
}

EndingOptions parse_ending(const std::string& where, const std::string& value) {
  if (value == "rest") return {};
  double percent = 0;
  const char* const last = value.data() + value.size();
  const auto [end, error] = std::from_chars(value.data(), last, percent);
  if (error != std::errc{} || std::string_view(end, last) != "%" || !(percent > 0 && percent <= 100))
    bad_usage(where, text("--exact-ending: expected none, rest, or a share of the steps such as 30%, got ", value));
  return {.share = percent / 100};
}

RunBudget parse_budget(const std::string& where, const std::string& value, const std::string& cuts) {
  constexpr const char* expected =
      "expected FLOPs such as 40TFLOP, a share of full fine-tuning such as 0.5x, time such as 20min, or energy such as "
      "50kJ, got ";
  RunBudget budget{.cuts = cuts == "steps" ? BudgetCuts::steps : BudgetCuts::batch};
  long double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  std::string unit(end, value.data() + value.size());
  const bool is_positive = error == std::errc{} && std::isfinite(number) && number > 0;
  if (is_positive && unit == "x" && number <= 1e6L) {
    budget.share_of_full = static_cast<double>(number);
    return budget;
  }
  constexpr std::array<std::pair<const char*, int>, 3> times = {{{"s", 1}, {"min", 60}, {"h", 3600}}};
  for (const auto& [name, seconds] : times) {
    if (!is_positive || unit != name || number * seconds > most_budget_seconds) continue;
    budget.seconds = static_cast<double>(number * seconds);
    return budget;
  }
  constexpr std::array<std::pair<const char*, double>, 5> energies = {
      {{"J", 1}, {"kJ", 1e3}, {"MJ", 1e6}, {"Wh", 3.6e3}, {"kWh", 3.6e6}}};
  for (const auto& [name, joules] : energies) {
    if (!is_positive || unit != name || number * joules > 1e15L) continue;
    budget.joules = static_cast<double>(number * joules);
    return budget;
  }
  if (unit.ends_with("s")) unit.pop_back();
  long double factor = 1;
  for (const char* prefix : {"", "k", "M", "G", "T", "P", "E"}) {
    const long double flops = std::round(number * factor);
    if (is_positive && unit == std::string(prefix) + "FLOP" && flops >= 1 && flops <= 9e18L) {
      budget.flops = static_cast<Flops>(flops);
      return budget;
    }
    factor *= 1000;
  }
  bad_usage(where, text("--budget: ", expected, value));
}

void expect_energy(const std::string& where, const std::string& subject, const std::string& problem) {
  if (problem.empty()) return;
  throw ConfigError(where, subject,
                    text("expected energy that can be measured for a budget in joules, got none: ", problem));
}

RunBudget parse_counted_budget(const std::string& where, const std::string& value, const std::string& cuts) {
  RunBudget budget = parse_budget(where, value, cuts);
  if (budget.is_timed()) {
    bad_usage(where, text("--budget: expected FLOPs or a share of full fine-tuning, got ", value, "; ",
                          budget.joules > 0 ? "energy" : "time", " is planned by finetune, which measures it"));
  }
  return budget;
}

double parse_duration(const std::string& flag, const std::string& value) {
  if (value == "none") return 0;
  const auto [number, unit] = number_and_unit(value, 0);
  for (const auto& [name, seconds] : {std::pair{"s", 1}, {"min", 60}, {"h", 3600}}) {
    if (number >= 1 && number <= 1'000'000 && unit == name) return static_cast<double>(number * seconds);
  }
  bad_usage("finetune", text(flag, ": expected a time such as 60s, 10min or 2h, or none, got ", value));
}

Bytes parse_bytes(const std::string& flag, const std::string& value, const std::string& command, Bytes least) {
  constexpr std::array<const char*, 5> units = {"", "KiB", "MiB", "GiB", "TiB"};
  const auto [number, unit] = number_and_unit(value, -1);
  Bytes factor = 1;
  for (const char* known : units) {
    if (number >= least && unit == known && number <= std::numeric_limits<Bytes>::max() / factor)
      return number * factor;
    factor *= 1024;
  }
  bad_usage(command, text(flag, ": expected a number of bytes such as 4GiB, 512MiB or 1000000",
                          least > 0 ? text(", at least ", least) : "", ", got ", value));
}

std::string option_name(const StorageFormat& format) {
  if (format.dtype) return std::string(name_of(*format.dtype));
  std::string name(format.name);
  std::ranges::transform(name, name.begin(),
                         [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
  return name;
}

const StorageFormat* parse_frozen_format(const std::string& where, const std::string& value) {
  if (value == "none" || value == "source") return nullptr;
  std::vector<std::string> names = {"none", "source"};
  for (const StorageFormat& format : storage_formats) {
    const bool is_wide = format.dtype == DType::float64 || format.dtype == DType::float32;
    if (is_wide || (!format.dtype && format.encode_block == nullptr)) continue;
    names.push_back(option_name(format));
    if (value == names.back()) return &format;
  }
  std::string known;
  for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
  bad_usage(where, text("--frozen-format: expected one of ", known, "; got ", value, suggestion(value, names)));
}

ContextGradients parse_context_gradients(const std::string& value) {
  return value == "keys" ? ContextGradients::keys : ContextGradients::none;
}

}  // namespace greentrainer::program
