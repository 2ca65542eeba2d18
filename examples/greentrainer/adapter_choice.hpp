#pragma once

#include <map>
#include <string>
#include <vector>

#include "command.hpp"
#include "greentrainer/blocks/graph_options.hpp"

namespace greentrainer::program {

/// What finetune adds to a model, from its options.
struct AdapterChoice {
  std::string candidates = "none";
  double rate_factor = 1;
  Extent lora_rank = 8;
  double lora_alpha = 32, lora_dropout = 0.1;
  std::vector<std::string> lora_targets;
  Extent prefix_tokens = 20;
  std::string output;
  double dropout = 0;

  void declare(Command& command);
  /// Throws UsageError for options that do not go with --method.
  void check(const Command& command, const std::string& method) const;

  /// Adds what a run with the method follows from, by the options' names.
  void add_facts(const std::string& method, std::map<std::string, std::string>& facts) const;

  GraphOptions graph_options(const std::string& method) const;
  /// Whether what is written is a folder for the library peft, rather than a model's.
  bool as_adapter(const std::string& method) const {
    return method == "prefix" || (method == "lora" && output == "peft");
  }
  /// Whether LoRA's matrices are trained, or could be.
  bool has_lora(const std::string& method) const { return method == "lora" || candidates == "lora"; }
};

}  // namespace greentrainer::program
