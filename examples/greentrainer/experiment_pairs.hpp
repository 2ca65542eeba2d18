#pragma once

#include "greentrainer/io/json.hpp"

namespace greentrainer::program {

/// Every method that trains and is no control, against the reference and against each control, in the report's score
/// and in the loss: means over the seeds that both have, with the error of a bootstrap over seeds and test examples.
/// [{"method", "against", "field", "lower_is_better", "seeds", "examples", "difference", "standard_error", "low",
/// "high"}]; empty where evaluations say nothing of single examples. `report` has "methods" and the settings, `cells`
/// as ExperimentCell::read gives them.
OrderedJson paired_differences(const OrderedJson& report, const OrderedJson& cells);

}  // namespace greentrainer::program
