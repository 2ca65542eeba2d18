#pragma once

#include "command.hpp"

namespace greentrainer::program {

Command make_plan_command();
Command make_select_command();
Command make_finetune_command();
Command make_evaluate_command();
Command make_generate_command();
Command make_experiment_command();
Command make_compare_command();

/// Throws UsageError for a backend that does not exist, MissingDevice for one that this program was built without.
void require_backend(const Command& command, const std::string& backend);

}  // namespace greentrainer::program
