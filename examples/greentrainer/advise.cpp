// greentrainer advise: which method, rate and number of steps? Short pilots on the data say what they can.

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "advice.hpp"
#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "finetune_options.hpp"
#include "finetune_trainer.hpp"
#include "greentrainer/train/best_weights.hpp"
#include "greentrainer/train/evaluation_sample.hpp"
#include "machine.hpp"
#include "option_values.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer advise --model opt-125m --data train.jsonl --budget 0.5x --epochs 5\n"
    "  greentrainer advise --model opt-125m --data train.jsonl --budget 0.5x --epochs 5 --json >advice.json\n"
    "  greentrainer finetune --method auto --advice advice.json --model opt-125m --train train.jsonl --output tuned "
    "--budget 0.5x --epochs 5\n"
    "Tries ways of training for at most 5% of the budget, evaluations included: full fine-tuning, with gradients of "
    "the\n"
    "  context and with those of its keys and values alone, LoRA on all linear layers, green, and the upper half of "
    "the blocks, at two or three learning rates, "
    "each on batches as small as the\n"
    "  budget asks for. All have the same FLOPs; the better half goes on with more. What they are compared by is the "
    "loss of rows that\n"
    "  none of them sees. Where these rows cannot tell candidates apart, that is said, and the default stays.";

constexpr Extent least_steps = 4;          // of a pilot, about, since rows differ in length: fewer say nothing
constexpr std::size_t most_held_out = 64;  // rows
constexpr int interrupted_status = 130;

/// What advise is asked for: of finetune's options those that all candidates share.
struct AdviseOptions {
  FinetuneOptions run;
  bool json = false;
};

/// The pilots on one model and its data.
template <Backend B>
class Pilots {
 public:
  Pilots(B& backend, const AdviseOptions& options) : backend_(&backend), options_(&options) {}

  /// Throws as finetune for models, data and budgets that it refuses.
  Advice run() {
    FinetuneOptions full = options_->run;
    full.method = "full";
    hold({.name = {}, .options = {}, .finetune = full});
    load();
    price(full);
    const bool detaches = !model_->facts().target_shift;
    advice_.candidates = candidates_of(options_->run, model_->facts().layer_prefixes.size(), context_share(), detaches);
    for (Candidate* c : by_model()) plan(*c);
    std::erase_if(all_, [](const Candidate* c) { return c->least == 0; });
    if (all_.empty()) throw ConfigError("advise", "budget", advice_.candidates.front().note);
    all_.front()->is_default = true;
    plan_all();
    if (!advice_.plan.rounds.empty()) try_all();
    if (!interrupted()) conclude(advice_);
    return std::move(advice_);
  }

 private:
  /// The model that a candidate trains, as it is before training.
  void hold(const Candidate& c) {
    if (model_ && holds_matrices_ == c.adds_matrices()) return;
    before_.reset();
    model_.reset();
    model_.emplace(load_model(c.finetune, *backend_));
    holds_matrices_ = c.adds_matrices();
  }

  void load() {
    const FinetuneOptions& run = options_->run;
    const Tokenizer* tokenizer = model_->has_tokenizer() ? &model_->tokenizer() : nullptr;
    data_ = load_data(run.train, tokenizer, model_->facts(), run.data);
    if (run.validation.empty()) return;
    DataChoice choice = run.data;
    choice.rows = run.validation_rows;
    validation_ = load_data(run.validation, tokenizer, model_->facts(), choice);
    advice_.own_validation = true;
  }

  /// FLOPs of the run that is advised about, and what pilots may take of them.
  void price(const FinetuneOptions& full) {
    FitOptions fit = fit_options(full);
    const RunBudget budget = fit.budget;
    fit.budget = {};
    Trainer<B> trainer = make_trainer(*model_, full);
    advice_.full = trainer.plan_run(data_.examples, fit).full;
    advice_.budget = advice_.full;
    const auto share = static_cast<long double>(budget.share_of_full) * static_cast<long double>(advice_.full);
    if (budget.flops > 0) advice_.budget = std::min(advice_.full, budget.flops);
    if (share > 0 && share < static_cast<long double>(advice_.full)) advice_.budget = static_cast<Flops>(share);
    advice_.allowed = advice_.budget / pilot_share;
  }

  /// The share of all tokens that carry no loss.
  double context_share() const {
    Workload all;
    for (const Example& example : data_.examples) all += workload_of(example);
    return static_cast<double>(all[Measure::context_tokens]) /
           static_cast<double>(std::max<Extent>(1, all[Measure::decoder_tokens]));
  }

  /// Candidates one model after the other, that which is held first. Those that cannot be tried are passed over.
  std::vector<Candidate*> by_model() {
    if (all_.empty()) {
      for (Candidate& c : advice_.candidates) all_.push_back(&c);
    }
    std::vector<Candidate*> sorted = all_;
    std::stable_partition(sorted.begin(), sorted.end(),
                          [&](const Candidate* c) { return c->adds_matrices() == holds_matrices_; });
    return sorted;
  }

  /// What the run would be, and the least that a pilot takes.
  void plan(Candidate& c) {
    try {
      hold(c);
      Model<B> trained = trained_model(*model_, c.finetune);
      Trainer<B> trainer = make_trainer(trained, c.finetune);
      FitOptions fit = fit_options(c.finetune);
      c.plan = trainer.plan_run(data_.examples, fit);
      if (fit.budget.is_set() && detaches_context(c.finetune)) {  // as --method auto makes it
        trainer.use_ending(*model_);
        c.plan = trainer.plan_run(data_.examples, fit);
        trainer = make_trainer(trained, c.finetune);
      }
      fit.budget = {};
      fit.steps = least_steps;
      fit.batch_size = c.plan.batch_size;
      c.least = trainer.plan_run(data_.examples, fit).planned;
    } catch (const ConfigError& error) {
      c.note = error.detail();
    }
  }

  void plan_all() {
    std::vector<Flops> least;
    for (const Candidate* c : all_) least.push_back(c->least);
    const std::span<const Example> from = advice_.own_validation ? validation_.examples : data_.examples;
    advice_.rows = from.size();
    const std::size_t most = std::min(most_held_out, advice_.own_validation ? from.size() : from.size() / 4);
    const LinearCost forward = dearest_forward();
    advice_.plan = plan_pilots(
        advice_.allowed, least, [&](std::size_t rows) { return evaluation_flops(forward, from, rows); }, most);
    all_.resize(std::min(all_.size(), advice_.plan.candidates()));
    held_out_.clear();
    rest_.clear();
    const std::size_t count = advice_.plan.held_out;
    for (std::size_t i = 0, at = 0; i < from.size(); ++i) {
      const bool held = at < count && spread_index(at, count, from.size()) == i;
      if (held) ++at;
      if (held) held_out_.push_back(from[i]);
      if (!held && !advice_.own_validation) rest_.push_back(from[i]);
    }
    if (advice_.own_validation) rest_ = data_.examples;
  }

  /// Of a forward pass with LoRA's matrices, which is the dearest.
  LinearCost dearest_forward() {
    hold(*all_.front());
    for (Candidate* c : all_) {
      if (c->adds_matrices()) hold(*c);
    }
    return forward_cost(model_->graph(), ExactCost<B>{});
  }
  Flops evaluation_flops(const LinearCost& forward, std::span<const Example> from, std::size_t rows) const {
    Workload all;
    for (std::size_t i = 0; i < rows; ++i)
      all += workload_of(from[spread_index(i, rows, from.size())], model_->graph().window());
    all[Measure::steps] = static_cast<Extent>(rows);
    return evaluate(forward, all);
  }

  void try_all() {
    advice_.before = evaluation();
    for (std::size_t r = 0; r < advice_.plan.rounds.size() && !interrupted(); ++r) {
      const PilotPlan::Round& round = advice_.plan.rounds[r];
      if (r > 0) keep(round.candidates);
      for (Candidate* c : by_model()) {
        if (!interrupted()) train(*c, r + 1, round.each);
      }
      std::erase_if(all_, [](const Candidate* c) { return !c->after; });
      if (all_.empty()) break;
    }
  }

  /// The so many with the smallest loss, and the default.
  void keep(std::size_t count) {
    std::stable_sort(all_.begin(), all_.end(),
                     [](const Candidate* a, const Candidate* b) { return a->after->loss < b->after->loss; });
    if (all_.size() <= count) return;
    const auto last = all_.begin() + static_cast<std::ptrdiff_t>(count);
    const auto by_default = std::find_if(last, all_.end(), [](const Candidate* c) { return c->is_default; });
    if (by_default != all_.end()) *std::prev(last) = *by_default;
    all_.resize(count);
  }

  /// Of the held-out rows; nothing where a signal has come. Throws NumericalError.
  std::optional<Evaluation> evaluation() {
    try {
      Evaluation made = evaluate(*model_, std::span<const Example>(held_out_), {.should_stop = interrupted});
      advice_.evaluation += made.flops;
      if (made.examples.size() < held_out_.size()) return {};
      return made;
    } catch (const NumericalError&) {  // which has computed all the same
      const LinearCost forward = forward_cost(model_->graph(), ExactCost<B>{});
      advice_.evaluation += evaluation_flops(forward, held_out_, held_out_.size());
      throw;
    }
  }

  void train(Candidate& c, std::size_t round, Flops flops) {
    hold(c);
    const auto& graph = model_->graph();
    if (!before_)
      before_.emplace().add(c.adds_matrices() ? select_adapters(graph) : select_all(graph), model_->parameters());
    FitOptions fit = fit_options(c.finetune);
    fit.steps = c.plan.steps;
    fit.batch_size = c.plan.batch_size;
    fit.budget = {.flops = flops, .cuts = BudgetCuts::steps};
    fit.evaluate = Evaluations::none;
    fit.should_stop = interrupted;
    Model<B> trained = trained_model(*model_, c.finetune);
    Trainer<B> trainer = make_trainer(trained, c.finetune);
    c.after.reset();
    c.round = round;
    try {
      trainer.fit(std::span<const Example>(rest_), fit);
      c.after = evaluation();
    } catch (const NumericalError& error) {
      c.note = text("went wrong: ", error.what());
    } catch (const InfeasibleBudget& error) {  // the rows of its first step are longer than others
      c.note = error.detail();
    }
    const TrainingReport report = trainer.report();
    c.pilot_steps = report.steps;
    c.pilot_flops = report.spent();
    advice_.training += report.spent();
    before_->put_back(model_->parameters());
    say(text("round ", round, ": ", c.name, ": ", c.pilot_steps, " steps of batch size ", c.plan.batch_size, ", ",
             c.after ? "held-out loss " + fixed(c.after->loss, 4) : "no loss"));
  }

  B* backend_;
  const AdviseOptions* options_;
  std::optional<PretrainedModel<B>> model_;
  bool holds_matrices_ = false;
  std::optional<BestWeights<B>> before_;  ///< what pilots change of the model
  Dataset data_, validation_;
  std::vector<Example> held_out_, rest_;
  Advice advice_;
  std::vector<Candidate*> all_;  ///< that are still tried, the best guess or the smallest loss first
};

/// The command that trains as recommended.
std::string command_of(const Command& command, const AdviseOptions& options, const Candidate& chosen) {
  const FinetuneOptions& run = options.run;
  std::string line = "greentrainer finetune";
  const auto add = [&](const std::string& name, const std::string& value) {
    line += " --" + name + " " + shell_word(value);
  };
  const auto add_given = [&](const char* name, const std::string& value) {
    if (command.given(name)) add(name, value);
  };
  const auto range = [](const RowRange& rows) { return text(rows.first, ":", rows.last); };
  add("model", run.model);
  add("train", run.train);
  if (command.given("rows")) add("train-rows", range(run.data.rows));
  add_given("validation", run.validation);
  add_given("validation-rows", range(run.validation_rows));
  add("output", run.output);
  for (const auto& [name, value] : chosen.options) add(name, value);
  if (run.steps > 0)
    add("steps", text(run.steps));
  else
    add("epochs", text(run.epochs));
  add_given("batch-size", text(run.batch_size));
  add_given("gradient-accumulation", text(run.gradient_accumulation));
  add_given("budget", run.budget);
  add_given("max-tokens", text(run.data.max_tokens));
  add_given("truncation", run.data.truncation);
  add_given("dataset", run.data.dataset);
  add_given("target-tokens", text(run.data.target_tokens));
  add_given("pack", run.data.packing);
  add_given("seed", text(run.seed));
  add_given("backend", run.backend.name);
  add_given("threads", text(run.backend.threads));
  add_given("device", text(run.backend.device));
  add_given("precision", run.backend.precision);
  if (detaches_context(chosen.finetune) && command.given("budget")) add("exact-ending", "rest");  // as planned
  return line;
}

int run(const Command& command, const AdviseOptions& options) {
  watch_for_interrupts();
  return with_backend(options.run.backend, [&](auto& backend) {
    say_if_not_native();
    Advice advice = Pilots(backend, options).run();
    if (interrupted()) {
      say("[advise] stopped by a signal; nothing is recommended");
      return interrupted_status;
    }
    advice.command = command_of(command, options, advice.candidates[advice.recommended]);
    if (options.json)
      print_json(json_of(advice));
    else
      print(advice);
    return 0;
  });
}

void check_advice(const Command& command, FinetuneOptions& run) {
  for (const char* name : {"model", "data"}) command.require(name);
  check_backend(command, run.backend);
  if (run.validation.empty()) command.refuse("validation-rows", "validation", "advice without --validation");
  if (command.either("steps", "epochs") == "epochs") run.steps = 0;
  if (!run.budget.empty()) parse_counted_budget("advise", run.budget, run.budget_cuts);
}

}  // namespace

Command make_advise_command() {
  const auto options = std::make_shared<AdviseOptions>();
  FinetuneOptions& run_options = options->run;
  run_options.output = "tuned";
  run_options.weight_decay = AdamWOptions{}.weight_decay;
  Command command("advise", "Which method, learning rate and steps? Short pilots on your data", examples);
  command.text("model", run_options.model, "DIR", "Model folder in Hugging Face form (safetensors), or a GGUF file");
  command.text("data", run_options.train, "FILE", "Training data, as for finetune");
  declare_rows(command, "rows", run_options.data.rows, "Rows of --data to use (all)");
  command.text("validation", run_options.validation, "FILE",
               "Data to compare candidates on (rows of --data, held out)");
  declare_rows(command, "validation-rows", run_options.validation_rows, "Rows of --validation to use (all)");
  command.text("budget", run_options.budget, "40TFLOP|0.5x",
               "Limit of the run that is advised about: FLOPs, or a share of full fine-tuning (that of full "
               "fine-tuning); pilots take at most 5% of it, on top");
  command.whole("epochs", run_options.epochs, 1, "Passes over the data of that run (1)");
  command.whole("steps", run_options.steps, 1, "Its optimizer steps, instead of --epochs");
  command.whole("batch-size", run_options.batch_size, 1, "Its examples in a pass; the budget may make them fewer (4)");
  command.whole("gradient-accumulation", run_options.gradient_accumulation, 1, "Its passes in a step (1)");
  declare_data(command, run_options.data);
  declare_target_tokens(command, run_options.data);
  declare_packing(command, run_options.data);
  command.whole("seed", run_options.seed, 0, "Seed of the order of the examples, new adapters and dropout (0)");
  declare_backend(command, run_options.backend);
  command.text("config", run_options.config, "FILE", "TOML file with any of these options");
  command.on("json", options->json, "Print one JSON object on stdout");
  command.check = [options](const Command& self) { check_advice(self, options->run); };
  command.run = [options](const Command& self) { return run(self, *options); };
  return command;
}

}  // namespace greentrainer::program
