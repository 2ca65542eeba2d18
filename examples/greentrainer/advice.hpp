#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "finetune_options.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/train/evaluation.hpp"
#include "greentrainer/train/pilot_plan.hpp"
#include "greentrainer/train/run_budget.hpp"

namespace greentrainer::program {

/// Options of finetune by their names, as they are given on a command line.
using NamedOptions = std::vector<std::pair<std::string, std::string>>;

/// One way of training that advise tries, and what was seen of it.
struct Candidate {
  std::string name;          ///< for people
  NamedOptions options;      ///< that make it
  FinetuneOptions finetune;  ///< the same
  std::size_t priority = 0;  ///< from 0: the order in which they are worth a try
  bool is_default = false;   ///< the first that can be trained, which stays where pilots cannot tell

  RunPlan plan = {};       ///< of the run that is advised about
  Flops least = 0;         ///< of the shortest pilot
  std::size_t round = 0;   ///< the last one that it was in, from 1; 0: not tried
  Extent pilot_steps = 0;  ///< in that round
  Flops pilot_flops = 0;   ///< that its training took there
  std::optional<Evaluation> after = {};
  std::string note = {};  ///< why it was not tried, or went wrong

  bool adds_matrices() const { return finetune.method == "lora"; }
};

/// The ways of training that are worth a pilot, the best guess first. `common`: the options of all. `layers`: blocks of
/// the model. `context`: the share of tokens without a label; `detaches`: whether gradients can stop at them.
std::vector<Candidate> candidates_of(const FinetuneOptions& common, std::size_t layers, double context, bool detaches);

/// What was tried, and what comes of it.
struct Advice {
  Flops budget = 0;   ///< of the run: what it may spend, and no more than full fine-tuning as asked for
  Flops full = 0;     ///< of full fine-tuning as asked for
  Flops allowed = 0;  ///< for pilots
  Flops training = 0, evaluation = 0;  ///< that they have spent
  PilotPlan plan;
  std::size_t rows = 0;         ///< that held-out ones are of
  bool own_validation = false;  ///< held-out rows are of --validation
  std::optional<Evaluation> before;
  std::vector<Candidate> candidates;  ///< the better first

  // By `conclude`:
  std::size_t recommended = 0;  ///< index of candidates
  bool is_sure = false;         ///< the held-out rows tell it apart from all others of the last round
  std::string reason;
  std::string command;

  Flops spent() const { return training + evaluation; }
};

/// Sorts the candidates by the round that they came to and their loss there, and decides. What cannot be told apart
/// from the default leaves it at the default.
void conclude(Advice& advice);

/// The object that --json prints.
OrderedJson json_of(const Advice& advice);
/// The same for people, on stdout.
void print(const Advice& advice);

/// The options that an object of json_of recommends. Throws LoadError naming `file` for anything else.
NamedOptions read_advice(const std::string& file);

}  // namespace greentrainer::program
