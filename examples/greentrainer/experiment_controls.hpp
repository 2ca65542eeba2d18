#pragma once

#include <string>
#include <vector>

#include "toml_parser.hpp"

namespace greentrainer::program {

/// A table [[method]] of an experiment, and what stands in [finetune] for it.
struct MethodTable {
  toml::table own;
  toml::table common;
  bool is_control = false;
};

/// Adds to an experiment's methods the controls that its key "controls" asks for: for every budget that methods have,
/// everything and LoRA on all linear layers, for fewer steps and on smaller batches; and for every method green with a
/// budget, a random choice at the same depth. `reference` is no method to control. Throws UsageError for an unknown
/// control, one whose learning rate is not known, and where no method has a budget.
void add_controls(const toml::table& file, const std::string& path, const std::string& reference,
                  std::vector<MethodTable>& methods);

}  // namespace greentrainer::program
