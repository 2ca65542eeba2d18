#pragma once

#include <string>
#include <vector>

#include "experiment_plan.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/report/frontier.hpp"

namespace greentrainer::program {

/// Everything that an experiment says, as one JSON object; Markdown and HTML are drawn from it and from nothing else:
/// {"name", "note", "score", "lower_is_better", "reference", "machine", "version", "methods": [{"method", "seeds",
/// "rho", "is_control", a {"mean", "spread"} each of "scores", "ratio", ...}],
///  "frontiers": [{"score", "lower_is_better", "methods": [names of those on it], "words": [text]}], of the score and
///  of the loss against all FLOPs of training, "paired": as paired_differences gives them, "diagnoses": [text],
///  "cells": [as ExperimentCell::read gives them]}. `spread` is the sample standard deviation over seeds, null for one.
OrderedJson experiment_report(const ExperimentPlan& plan, OrderedJson cells);

/// What went wrong, in plain words: score lost at a budget, a budget that was promised and not met, importance and
/// selection above 5% of training's time.
std::vector<std::string> diagnose(const OrderedJson& report);

/// Scores of the report's methods that train, against all that training them took, in FLOPs.
Frontier frontier_of(const OrderedJson& report, const std::string& score, bool lower_is_better);

std::string experiment_markdown(const OrderedJson& report);

/// One page that needs no network: the table, loss curves, score against FLOPs and against time, and for every run that
/// selected, a map of tensors x selections.
std::string experiment_page(const OrderedJson& report);

}  // namespace greentrainer::program
