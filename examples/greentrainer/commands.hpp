#pragma once

#include <vector>

#include "command.hpp"

namespace greentrainer::program {

class LaunchedRanks;

Command make_plan_command();
Command make_select_command();
/// `ranks`: those that train together, or null for one alone.
Command make_finetune_command(LaunchedRanks* ranks = nullptr);
Command make_evaluate_command();
Command make_generate_command();
Command make_chat_command();
Command make_export_command();
Command make_experiment_command();
Command make_compare_command();
Command make_calibrate_command();
Command make_advise_command();
Command make_doctor_command();
/// Completes the commands that `all` has when it runs, and must outlive it.
Command make_completion_command(const std::vector<Command>& all);
/// Prints the manual page of the commands that `all` has when it runs, and must outlive it.
Command make_man_command(const std::vector<Command>& all);

}  // namespace greentrainer::program
