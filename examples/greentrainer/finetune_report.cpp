#include "finetune_report.hpp"

#include <cmath>
#include <iostream>
#include <map>

#include "console.hpp"
#include "greentrainer/io/json.hpp"
#include "machine.hpp"
#include "saved_loss.hpp"

namespace greentrainer::program {

namespace {

OrderedJson json_of(const std::map<std::string, double>& importance) {
  OrderedJson json = OrderedJson::object();
  for (const auto& [name, value] : importance) json.push_back({name, value});
  return json;
}

OrderedJson json_of(const std::optional<double>& value) { return value ? OrderedJson(*value) : OrderedJson(); }

OrderedJson json_of(const EvaluationRecord& record, const std::string& metric) {
  OrderedJson json = {{"step", record.step}, {"loss", record.loss}};
  if (record.metric) json[metric] = *record.metric;
  return json;
}

/// The weights that are saved: those of the best evaluation, or the last ones.
std::string kept_text(const TrainingReport& report, const std::string& metric) {
  const EvaluationRecord* const best = report.best();
  if (best == nullptr) return "the last step";
  std::string kept = text("step ", best->step, ", the best of ", report.evaluations.size(), " evaluations, ", metric,
                          " ", fixed(best->value(), 4));
  if (report.patience_over) kept += text("; ended after ", report.since_best(), " without a better one");
  return kept;
}

/// Whether they were exact.
std::string gradients_text(const Surroundings& around) {
  std::string left_out;
  if (around.context_gradients == "none") left_out = "without the context";
  if (around.context_gradients == "keys") left_out = "without what lies below the context's keys and values";
  if (around.passing == "rotating")
    left_out += text(left_out.empty() ? "" : ", ", "with branches that pass the identity");
  return left_out.empty() ? "exact" : "approximate: " + left_out;
}

OrderedJson json_of(const SelectionRecord& record) {
  return {{"step", record.step},
          {"names", record.names},
          {"importance", json_of(record.importance)},
          {"unit", record.unit},
          {"budget", record.budget},
          {"cost", record.cost},
          {"optimal", record.optimal},
          {"gap", std::isfinite(record.gap) ? OrderedJson(record.gap) : OrderedJson()},
          {"cached_below", record.cached_below},
          {"cached_bytes", record.cached_bytes},
          {"not_cached", record.not_cached},
          {"recomputed", record.recomputed},
          {"recomputed_from", record.recomputed_from},
          {"identity_branches", record.identity_branches},
          {"memory_bytes", record.memory.total()}};
}

/// The lines of metrics.jsonl.
class Metrics {
 public:
  Metrics(const Surroundings& around, const TextSink& sink) : around_(&around), sink_(&sink) {}

  void selection(const SelectionRecord& record) {
    OrderedJson json = {{"event", "selection"}};
    json.update(json_of(record));
    add(json);
  }

  void step(const StepRecord& record) {
    flops_ += record.flops + record.recomputed_flops;
    OrderedJson json = {
        {"event", "step"},
        {"step", record.step},
        {"loss", record.loss},
        {"learning_rate", record.learning_rate},
        {"tokens", record.tokens},
        {"labelled_tokens", record.labelled_tokens},
        {"seconds", record.seconds},
        {"tokens_per_second", record.seconds > 0 ? static_cast<double>(record.tokens) / record.seconds : 0},
        {"joules", json_of(record.joules)},
        {"flops", record.flops},
        {"in_full", record.in_full},
        {"recomputed_flops", record.recomputed_flops},
        {"flops_spent", flops_}};
    if (record.skipped) json["skipped"] = true;
    add(json);
  }

  /// One before training or on the way, the last of these after the last step.
  void evaluation(const EvaluationRecord& record) {
    if (record.step > 0 && !around_->evaluates_on_the_way) return;  // loss_after says it
    OrderedJson json = {{"event", "evaluation"},
                        {"when", record.step == 0 ? "before" : "on the way"},
                        {"step", record.step},
                        {"loss", record.loss}};
    if (record.metric) json[around_->keep_best] = *record.metric;
    if (!around_->keep_best.empty()) json["best"] = record.best;
    add(json);
  }

  /// Of the weights as they are saved.
  void loss_after(const TrainingReport& report) {
    OrderedJson json = {{"event", "evaluation"}, {"when", "after"}, {"step", report.steps + report.skipped}};
    if (const EvaluationRecord* const best = report.best()) json["step"] = best->step;
    json["loss"] = *report.loss_after;
    if (around_->loss_after_unrounded) json["loss_unrounded"] = *around_->loss_after_unrounded;
    add(json);
  }

 private:
  void add(const OrderedJson& json) { (*sink_)(json.dump() + '\n'); }

  const Surroundings* around_;
  const TextSink* sink_;
  Flops flops_ = 0;
};

}  // namespace

void write_metrics(const TrainingReport& report, const Surroundings& around, const TextSink& sink) {
  Metrics metrics(around, sink);
  auto chosen = report.selections.begin();
  const auto choices_after = [&](Extent step) {
    for (; chosen != report.selections.end() && chosen->step <= step; ++chosen) metrics.selection(*chosen);
  };
  auto taken = report.evaluations.begin();
  const auto evaluations_after = [&](Extent step) {
    for (; taken != report.evaluations.end() && taken->step <= step; ++taken) metrics.evaluation(*taken);
  };
  evaluations_after(0);
  choices_after(0);
  for (const StepRecord& record : report.history) {
    metrics.step(record);
    if (record.in_full) choices_after(record.step);  // made by the step itself
    evaluations_after(record.step);
    choices_after(record.step);
  }
  if (report.loss_after) metrics.loss_after(report);
}

std::string rounding_warning(const TrainingReport& report, double unrounded, const std::string& dtype) {
  constexpr double much = 0.05;
  if (!report.loss_before || !report.loss_after) return "";
  const double gain = *report.loss_before - unrounded, lost = *report.loss_after - unrounded;
  if (gain <= 0 || lost <= much * gain) return "";
  return text("warning: saving in ", dtype, " loses ", fixed(100 * lost / gain, 0), "% of what training gained: loss ",
              fixed(*report.loss_before, 4), " before, ", fixed(unrounded, 4), " trained, ",
              fixed(*report.loss_after, 4), " as saved; --save-dtype float32 keeps it");
}

std::string plan_line(const RunPlan& plan) {
  const std::string ending =
      plan.ending_steps > 0 ? text("the last ", plan.ending_steps, " with exact gradients, ") : std::string();
  const auto flops = [](Flops f) { return with_prefix(static_cast<double>(f), "FLOPs"); };
  if (plan.joules > 0) {
    return text("budget ", fixed(plan.joules, 1), " J: ", plan.steps, " steps, batch size ", plan.batch_size,
                ", which are expected to take ", fixed(plan.planned_joules, 1), " J, ", plan.promise(),
                flops(plan.planned));
  }
  if (plan.seconds > 0) {
    return text("budget ", fixed(plan.seconds, 1), " s: ", plan.steps, " steps, batch size ", plan.batch_size,
                ", which are expected to take ", fixed(plan.planned_seconds, 1), " s, ", plan.promise(),
                flops(plan.planned));
  }
  return text("budget ", flops(plan.budget), ", ",
              fixed(static_cast<double>(plan.budget) / static_cast<double>(plan.full), 3),
              " of full fine-tuning: ", plan.steps, " steps, batch size ", plan.batch_size, ", ", ending, "which take ",
              plan.promise(), flops(plan.planned));
}

OrderedJson json_of(const RunPlan& plan) {
  OrderedJson json = {{"flops", plan.budget},          {"steps", plan.steps},
                      {"batch_size", plan.batch_size}, {"ending_steps", plan.ending_steps},
                      {"planned", plan.planned},       {"exact", plan.exact},
                      {"average", plan.average},       {"full", plan.full}};
  if (plan.is_timed()) {
    json["flops"] = nullptr;
    json["planned_seconds"] = plan.planned_seconds;
  }
  if (plan.seconds > 0) json["seconds"] = plan.seconds;
  if (plan.joules > 0) {
    json["joules"] = plan.joules;
    json["planned_joules"] = plan.planned_joules;
  }
  return json;
}

std::string overshoot_advice(double negative) {
  if (negative <= 0.25) return "";
  return text(fixed(100 * negative, 1),
              "% of the tensors have a negative importance: a step of all tensors at once overshoots at this learning "
              "rate, so ",
              "their gradients behind it say little of their worth. Compare with --importance first-order, which looks "
              "at the gradients before the step ",
              "and costs half, and with a smaller --learning-rate.");
}

namespace {

/// Energy of the whole command, of its steps, and the carbon dioxide that follows; or why there is none.
OrderedJson energy_json(const TrainingReport& report, const Surroundings& around) {
  const std::optional<double> joules = total_joules(around.energy);
  OrderedJson json = {{"joules", json_of(joules)},
                      {"training_joules", json_of(report.joules)},
                      {"reason", joules ? OrderedJson() : OrderedJson(problem_of(around.energy))},
                      {"parts", OrderedJson::array()},
                      {"carbon_intensity", nullptr},
                      {"carbon_grams", nullptr}};
  for (const EnergyPart& part : around.energy)
    json["parts"].push_back({{"name", part.name}, {"joules", json_of(part.joules)}});
  if (around.carbon_intensity > 0) json["carbon_intensity"] = around.carbon_intensity;
  if (around.carbon_intensity > 0 && joules) json["carbon_grams"] = carbon_grams(*joules, around.carbon_intensity);
  return json;
}

/// The same for people.
std::string energy_text(const TrainingReport& report, const Surroundings& around) {
  std::string line;
  for (const EnergyPart& part : around.energy) {
    if (part.joules) line += (line.empty() ? "" : ", ") + fixed(*part.joules, 1) + " J of " + part.name;
  }
  const std::optional<double> joules = total_joules(around.energy);
  if (!joules) return line.empty() ? "not measured" : "not measured, but for " + line;
  if (around.energy.size() > 1) line = fixed(*joules, 1) + " J: " + line;
  if (report.joules) line += "; " + fixed(*report.joules, 1) + " J in steps and choosing";
  if (around.carbon_intensity > 0) line += "; " + fixed(carbon_grams(*joules, around.carbon_intensity), 3) + " g CO2eq";
  return line;
}

/// What a rank has sent, and how long it took with waiting.
OrderedJson json_of(const Ranks& ranks) {
  OrderedJson sent;
  double seconds = 0;
  for (const auto& [name, purpose] : {std::pair{"gradients", Traffic::gradients},
                                      {"importance", Traffic::importance},
                                      {"evaluation", Traffic::evaluation},
                                      {"control", Traffic::control}}) {
    sent[name] = ranks.sent(purpose).bytes;
    seconds += ranks.sent(purpose).seconds;
  }
  return {{"count", ranks.size()}, {"sent_bytes", sent}, {"exchange_seconds", seconds}};
}

}  // namespace

OrderedJson json_of(const TrainingReport& report, const Surroundings& around) {
  OrderedJson json = {{"loss_before", json_of(report.loss_before)}, {"loss_after", json_of(report.loss_after)}};
  if (around.loss_after_unrounded) json["loss_after_unrounded"] = *around.loss_after_unrounded;
  json["evaluated"] = {{"data", report.evaluated.held_out ? "validation" : "training"},
                       {"examples", report.loss_before || report.loss_after ? report.evaluated.examples : 0},
                       {"of", report.evaluated.of}};
  json["evaluations"] = OrderedJson::array();
  for (const auto& record : report.evaluations) json["evaluations"].push_back(json_of(record, around.keep_best));
  json["kept"] = nullptr;
  if (const EvaluationRecord* const best = report.best()) {
    json["kept"] = json_of(*best, around.keep_best);
    json["kept"]["by"] = around.keep_best;
    json["kept"]["patience_over"] = report.patience_over;
  }
  json["method"] = around.method;
  json["context_gradients"] = around.context_gradients;
  json["exact_ending_steps"] = report.ending_steps;
  json["passing"] = around.passing;
  json["gradient_sums"] = around.gradient_sums;
  json["is_auto"] = around.is_auto;
  json["backend"] = around.backend;
  json["frozen_format"] = around.frozen_format;
  json["steps"] = report.steps;
  json["tokens"] = report.tokens;
  json["labelled_tokens"] = report.labelled_tokens;
  json["rows_dropped"] = around.rows_dropped;
  json["rows_truncated"] = around.rows_truncated;
  json["turns_dropped"] = around.turns_dropped;
  json["ignored_keys"] = around.ignored_keys;
  json["flops"] = {{"train", report.flops.train},           {"recomputed", report.flops.recomputed},
                   {"importance", report.flops.importance}, {"optimizer", report.flops.optimizer},
                   {"evaluation", report.flops.evaluation}, {"saved_by_cache", report.flops.saved_by_cache},
                   {"refilled", report.flops.refilled},     {"full", report.flops.full}};
  json["skipped_steps"] = report.skipped;
  json["budget"] = nullptr;
  if (const RunPlan& plan = report.plan; plan.budget > 0 || plan.is_timed()) {
    json["budget"] = json_of(plan);
    json["budget"]["spent"] = report.spent();
    if (plan.is_timed()) json["budget"]["spent_seconds"] = report.training_seconds();
    if (plan.joules > 0) json["budget"]["spent_joules"] = json_of(report.joules);
    json["budget"]["ended"] = report.budget_reached ? "budget" : "steps";
  }
  json["saved_dtype"] = around.saved_dtype;
  json["ratio"] = report.ratio();
  json["ratio_all_in"] = report.ratio_all_in();
  const auto& s = report.seconds;
  json["seconds"] = {{"load", around.load_seconds}, {"importance", s.importance},  {"selection", s.selection},
                     {"forward", s.forward},        {"backward", s.backward},      {"optimizer", s.optimizer},
                     {"evaluation", s.evaluation},  {"save", around.save_seconds}, {"total", around.total_seconds}};
  json["ranks"] = json_of(around.ranks);
  json["peak_memory_bytes"] = peak_memory();
  json["memory_bytes"] = {
      {"importance", report.memory.importance}, {"training", report.memory.training},
      {"evaluation", report.memory.evaluation}, {"best_weights", report.memory.best_weights},
      {"exact_sums", report.memory.exact_sums}, {"save_copy", report.memory.save_copy},
      {"planned_peak", report.memory.peak()},   {"measured_peak", peak_memory() - around.memory_at_start}};
  if (around.device_peak) json["device_peak_memory_bytes"] = *around.device_peak;
  json["energy"] = energy_json(report, around);
  json["cached_bytes"] = report.cached_bytes;
  json["warnings"] = report.warnings;
  json["selections"] = OrderedJson::array();
  for (const auto& record : report.selections) json["selections"].push_back(json_of(record));
  return json;
}

void print_report(const TrainingReport& report, const Surroundings& around, const std::string& output) {
  const auto flops = [](Flops f) { return with_prefix(static_cast<double>(f), "FLOPs"); };
  const auto seconds = [](double s) { return fixed(s, 2) + " s"; };
  const auto& s = report.seconds;
  const auto loss = [](const std::optional<double>& value) { return value ? fixed(*value, 4) : "not taken"; };
  print_table(
      {{text("loss on ", report.evaluated.examples, " of ", report.evaluated.of,
             report.evaluated.held_out ? " validation" : " training", " examples"),
        loss(report.loss_before) + " -> " + loss(report.loss_after) +
            (around.loss_after_unrounded ? ", " + fixed(*around.loss_after_unrounded, 4) + " before rounding" : "")},
       {"weights of", kept_text(report, around.keep_best)},
       {"gradients", gradients_text(around)},
       {"steps", text(report.steps, report.skipped == 0 ? "" : text(", ", report.skipped, " skipped"))},
       {"tokens", text(report.tokens, ", ", report.labelled_tokens, " labelled")},
       {"training", flops(report.flops.train)},
       {"computed again", flops(report.flops.recomputed)},
       {"spared by cached values",
        flops(report.flops.saved_by_cache) + ", with " + bytes_text(report.cached_bytes) + " of them"},
       {"full fine-tuning would be", flops(report.flops.full)},
       {"ratio", fixed(report.ratio(), 4)},
       {"importance", flops(report.flops.importance)},
       {"optimizer", flops(report.flops.optimizer)},
       {"evaluation", flops(report.flops.evaluation)},
       {"ratio, all in", fixed(report.ratio_all_in(), 4)},
       {"time", seconds(around.total_seconds)},
       {"  forward, backward, optimizer",
        seconds(s.forward) + ", " + seconds(s.backward) + ", " + seconds(s.optimizer)},
       {"  importance, selection", seconds(s.importance) + ", " + seconds(s.selection)},
       {"  load, evaluation, save",
        seconds(around.load_seconds) + ", " + seconds(s.evaluation) + ", " + seconds(around.save_seconds)},
       {"peak memory", bytes_text(peak_memory()) + ", " + bytes_text(peak_memory() - around.memory_at_start) +
                           " above its start; planned " + bytes_text(report.memory.peak()) +
                           (report.memory.save_copy > 0
                                ? ", beside it " + bytes_text(report.memory.save_copy) + " of a copy that was saved"
                                : "") +
                           (around.device_peak ? ", on the device " + bytes_text(*around.device_peak) : "")},
       {"energy", energy_text(report, around)}});
  if (!total_joules(around.energy)) std::cout << "energy is not measured: " << problem_of(around.energy) << '\n';
  if (!around.ranks.is_alone()) {
    const Ranks::Account gradients = around.ranks.sent(Traffic::gradients);
    print_table({{text(around.ranks.size(), " ranks; gradients that each sent"), bytes_text(gradients.bytes)},
                 {"  the first's time for it, with waiting", seconds(gradients.seconds)}});
  }
  if (const RunPlan& plan = report.plan; plan.budget > 0 || plan.is_timed()) {
    const auto of_budget = [&](double in_seconds, double in_joules, const std::string& in_flops) {
      if (plan.joules > 0) return fixed(in_joules, 1) + " J";
      return plan.seconds > 0 ? seconds(in_seconds) : in_flops;
    };
    print_table({{"budget", of_budget(plan.seconds, plan.joules, flops(plan.budget))},
                 {text("  planned for ", plan.steps, " steps, batch size ", plan.batch_size),
                  of_budget(plan.planned_seconds, plan.planned_joules, plan.promise() + flops(plan.planned))},
                 {report.budget_reached ? text("  spent; step ", report.steps + 1, " would have exceeded it")
                                        : std::string("  spent; all planned steps were taken"),
                  of_budget(report.training_seconds(), report.joules.value_or(0), flops(report.spent()))}});
  }
  std::cout << "written to " << output << " in " << around.saved_dtype << '\n';
}

}  // namespace greentrainer::program
