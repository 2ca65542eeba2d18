#pragma once

#include <string>
#include <vector>

#include "greentrainer/core/storage_format.hpp"
#include "greentrainer/core/types.hpp"
#include "greentrainer/graph/detached_context.hpp"
#include "greentrainer/train/ending.hpp"
#include "greentrainer/train/training_options.hpp"

namespace greentrainer::program {

/// "2e" or "100s" for `flag`. Throws UsageError.
Interval parse_interval(const std::string& flag, const std::string& value);

/// {"1:10%", "0.4:90%"} for --phases of finetune: ratios, each with its share of the steps. Throws UsageError for what
/// is none, and for shares that do not add up.
std::vector<Phase> parse_phases(const std::string& where, const std::vector<std::string>& values);

/// "40TFLOP", "0.5x", "20min" or "50kJ" for --budget: FLOPs, with k, M, G, T, P or E for powers of 1000, a share of
/// full fine-tuning, time in s, min or h, or energy in J, kJ, MJ, Wh or kWh. Throws UsageError of the command `where`.
RunBudget parse_budget(const std::string& where, const std::string& value, const std::string& cuts);

/// Throws ConfigError of the command `where` for a budget in joules that cannot be measured: `problem` says why.
void expect_energy(const std::string& where, const std::string& subject, const std::string& problem);

/// The same for a command that does not measure: throws UsageError for time and energy by name.
RunBudget parse_counted_budget(const std::string& where, const std::string& value, const std::string& cuts);

/// "60s", "10min" or "2h" for `flag` of finetune, in seconds; 0 for "none". Throws UsageError.
double parse_duration(const std::string& flag, const std::string& value);

/// "4GiB", "512MiB", "1000" for `flag` of a command: at least so many bytes, with KiB, MiB, GiB or TiB for powers of
/// 1024. Throws UsageError.
Bytes parse_bytes(const std::string& flag, const std::string& value, const std::string& command = "finetune",
                  Bytes least = 0);

/// What a format is called in options: "q8_0".
std::string option_name(const StorageFormat& format);
/// The format of --frozen-format; null for "none" and "source". Throws UsageError of the command `where`.
const StorageFormat* parse_frozen_format(const std::string& where, const std::string& value);

/// What --context-gradients keeps where it is not exact: keys or none.
ContextGradients parse_context_gradients(const std::string& value);

/// What --exact-ending says where it is not none: rest, or a share of the steps. Throws UsageError.
EndingOptions parse_ending(const std::string& where, const std::string& value);

}  // namespace greentrainer::program
