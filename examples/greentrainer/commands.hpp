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
Command make_calibrate_command();

}  // namespace greentrainer::program
