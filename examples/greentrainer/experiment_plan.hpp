#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend_choice.hpp"

namespace greentrainer::program {

/// One method of an experiment: options of `finetune`, or none at all where the model is evaluated as it is.
struct ExperimentMethod {
  std::string name;
  bool trains = true;
  std::vector<std::string>
      finetune;    ///< arguments, such as {"--method", "green", "--rho", "0.5"}, those of [finetune] among them
  double rho = 0;  ///< of method green; 0: no budget was promised
  bool spends_joules = false;  ///< its budget is in energy
  BackendChoice backend;
  bool is_control = false;
};

/// What an experiment file asks for: methods x seeds on one data set.
struct ExperimentPlan {
  std::string name;
  std::string note;            ///< what a reader must know about model and data; printed with the results
  std::string output;          ///< folder of results
  std::string score = "loss";  ///< field of evaluate's report that methods are compared by, such as "rouge.rougeL"
  bool lower_is_better = true;
  std::string reference = "full";  ///< name of the method that others are held against
  bool keep_models = false;
  std::vector<std::int64_t> seeds = {1};
  std::vector<std::string> evaluate;  ///< arguments of every run
  std::string model;                  ///< of [finetune]: what a method that does not train evaluates
  std::vector<ExperimentMethod> methods;
};

/// Reads FILE.toml. Every option is checked as finetune and evaluate would, before anything runs. Throws UsageError for
/// an unknown or missing key, with the nearest known one, and for options that do not go together; LoadError for a file
/// that is not TOML, and for files of data that are not there.
ExperimentPlan read_experiment(const std::string& path);

}  // namespace greentrainer::program
