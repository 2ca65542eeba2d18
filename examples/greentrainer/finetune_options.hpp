#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "adapter_choice.hpp"
#include "backends.hpp"
#include "command.hpp"
#include "greentrainer/train/run_identity.hpp"
#include "greentrainer/train/training_options.hpp"
#include "prefix_cache_choice.hpp"
#include "training_data.hpp"

namespace greentrainer::program {

/// What finetune is asked for.
struct FinetuneOptions {
  std::string model, train, validation, output, config;
  std::string method = "green", importance = "paper", worth = "additive", selector = "exact", dependencies = "graph",
              sampling = "off", reselect_every = "2e";
  std::vector<std::string> tensors, freeze;
  double rho = 0.5;
  std::vector<std::string> phases;  ///< none: rho throughout
  std::string budget, budget_cuts = "batch";
  double carbon_intensity = 0;  ///< grams of CO2 equivalent for a kilowatt-hour; 0: not told
  Extent importance_batches = 1;
  bool importance_step = false;
  Extent epochs = 1, steps = 0, batch_size = 4, gradient_accumulation = 1;
  std::string gradient_sums = "fast", rank_timeout = "10min";
  double learning_rate = 2e-5;
  Extent warmup = 0;
  std::string schedule = "linear", optimizer = "adamw";
  double weight_decay = 0, momentum = 0, clip_norm = 0;
  std::string no_decay_on = "none";
  std::string context_gradients = "exact", exact_ending = "none", passing = "exact";
  double passing_share = 0.25;
  AdapterChoice adapters;
  std::string from_adapter;
  std::string frozen_format = "none";
  DataChoice data;
  RowRange validation_rows;
  std::string evaluate = "both";
  Extent evaluation_examples = 0;
  std::string evaluate_every, keep_best;  ///< empty: no
  Extent patience = 0, evaluation_tokens = 64;
  PrefixCacheChoice prefix_cache;
  std::string memory_limit;
  Extent seed = 0;
  bool no_shuffle = false;
  BackendChoice backend;
  std::string save_dtype;
  std::string on_nan = "stop";
  Extent most_skipped = 10;
  std::string save_every = "10min", resume = "auto";
  Extent keep = 2;
  bool other_build = false;
  std::string tensorboard;  ///< folder, or empty
  bool overwrite = false, json = false;
  std::string advice;    ///< file that advise has written for --method auto, or empty
  bool is_auto = false;  ///< --method auto, which `method` is the choice of
  /// context_gradients are auto's, and exact for an encoder-decoder.
  bool context_where_possible = false;
};

extern const char* const finetune_examples;

/// Declares all options; `options` must outlive the command.
void declare(Command& command, FinetuneOptions& options);
/// Sets what follows from other options. Throws UsageError for options that are out of range or do not go together.
void check(const Command& command, FinetuneOptions& options);

/// How many of the last layers "last:K" and "top2" train; nothing for other methods. Throws UsageError for a K that is
/// no number.
std::optional<std::size_t> last_layers(const std::string& method);

/// Throws UsageError for a budget that is none.
RunBudget budget_of(const FinetuneOptions& options);

/// What --method auto has become, as options.
std::string auto_text(const FinetuneOptions& options);

/// Whether gradients stop at the context: with_detached_context.
inline bool detaches_context(const FinetuneOptions& options) { return options.context_gradients != "exact"; }

/// Whether the last steps have exact gradients all the same: Trainer::use_ending.
inline bool ends_exactly(const FinetuneOptions& options) { return options.exact_ending != "none"; }

/// Whether residual branches pass the identity: Trainer::use_passing.
inline bool rotates_branches(const FinetuneOptions& options) { return options.passing == "rotating"; }

/// All but the data and what is called back. Throws ConfigError where a cache on disk has no folder to lie in, before
/// any time is spent.
FitOptions fit_options(const FinetuneOptions& options);
/// What a run follows from beside the options of the library: FitOptions::also_depends_on. Throws LoadError.
RunIdentity run_facts(const FinetuneOptions& options);

}  // namespace greentrainer::program
