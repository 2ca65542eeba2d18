#include "advice.hpp"

#include <algorithm>
#include <iostream>
#include <optional>
#include <string_view>

#include "console.hpp"
#include "greentrainer/train/pilot_verdict.hpp"

namespace greentrainer::program {

namespace {

/// The options that advice may set for a method; none for a method that is not tried.
std::vector<std::string_view> options_of(const std::string& method) {
  if (method == "lora") return {"learning-rate", "lora-targets", "context-gradients"};
  if (method == "full") return {"learning-rate", "context-gradients"};
  if (method == "green") return {"learning-rate", "rho", "importance"};
  return method.starts_with("last:") ? std::vector<std::string_view>{"learning-rate"} : std::vector<std::string_view>{};
}
constexpr Bytes largest_advice = Bytes{16} << 20;

/// The better first: of the later round, then of the smaller loss; those that were not tried last.
bool is_better(const Candidate& a, const Candidate& b) {
  if (a.after.has_value() != b.after.has_value()) return a.after.has_value();
  if (a.round != b.round) return a.round > b.round;
  if (a.after && a.after->loss != b.after->loss) return a.after->loss < b.after->loss;
  return a.priority < b.priority;
}

double per_tflop(double loss, Flops flops) { return flops > 0 ? loss / (static_cast<double>(flops) / 1e12) : 0; }

std::string flops_text(Flops flops) { return with_prefix(static_cast<double>(flops), "FLOPs"); }

/// Blocks whose weights get gradients, in words.
std::string depth_of(const Candidate& c) {
  if (c.finetune.method == "green") return "as chosen";
  return last_layers(c.finetune.method) ? c.finetune.method.substr(5) + " blocks" : "all blocks";
}

}  // namespace

std::vector<Candidate> candidates_of(const FinetuneOptions& common, std::size_t layers, double context, bool detaches) {
  std::vector<Candidate> all;
  const auto add = [&](const std::string& name, const std::string& method, double rate, NamedOptions more = {}) {
    Candidate c{.name = text(name, ", ", rate), .options = {{"method", method}}, .finetune = common};
    c.priority = all.size();
    c.finetune.method = method;
    c.finetune.learning_rate = rate;
    c.finetune.rho = 0.7;  // of green alone
    c.finetune.importance = "gradient-norm";
    for (const auto& [option, value] : more) {
      if (option == "lora-targets") c.finetune.adapters.lora_targets = {value};
      if (option == "context-gradients") c.finetune.context_gradients = value;
    }
    if (method == "green") more = {{"rho", "0.7"}, {"importance", "gradient-norm"}};
    c.options.insert(c.options.end(), more.begin(), more.end());
    c.options.emplace_back("learning-rate", text(rate));
    all.push_back(std::move(c));
  };
  const bool has_context = detaches && context >= 0.1;
  const auto lora = [&](double rate) {
    if (!detaches) return add("LoRA, all linear", "lora", rate, {{"lora-targets", "all-linear"}});
    add("LoRA, all linear, gradients to the context's keys", "lora", rate,
        {{"lora-targets", "all-linear"}, {"context-gradients", "keys"}});
  };
  const auto full = [&](double rate) { add("full", "full", rate); };
  const auto no_context = [&](double rate) {
    if (has_context) {
      add("full, gradients to the context's keys", "full", rate, {{"context-gradients", "keys"}});
    }
  };
  lora(1e-3);
  full(1e-4);
  no_context(1e-4);
  lora(2e-3);
  full(2e-4);
  add("green", "green", 1e-4);
  lora(5e-4);
  full(5e-5);
  no_context(2e-4);
  add("green", "green", 3e-4);
  if (layers >= 4) {
    const std::string half = text("last:", layers / 2);
    add(half, half, 2e-4);
  }
  no_context(5e-5);
  return all;
}

void conclude(Advice& advice) {
  auto& all = advice.candidates;
  std::stable_sort(all.begin(), all.end(), is_better);
  const auto by_default = std::find_if(all.begin(), all.end(), [](const Candidate& c) { return c.is_default; });
  advice.recommended = static_cast<std::size_t>(by_default - all.begin());
  advice.is_sure = false;
  const std::string the_default = text("the default, ", by_default->name, ",");
  const std::string elsewhere = text("; ", the_default, " is what scored best on other data");
  const std::size_t needed = advice.own_validation ? fewest_held_out : 4 * fewest_held_out;
  if (advice.plan.rounds.empty() && advice.rows < needed) {
    advice.reason = text(advice.rows, advice.own_validation ? " rows of --validation" : " training rows",
                         " are too few to compare by, ", needed, " are needed, so nothing was tried", elsewhere);
    return;
  }
  if (advice.plan.rounds.empty()) {
    advice.reason = text("the pilot's share of the budget, ", flops_text(advice.allowed),
                         ", does not pay for two candidates and enough held-out rows, so nothing was tried", elsewhere);
    return;
  }
  std::vector<const Evaluation*> finalists;  // which stand first, in the same order
  for (const Candidate& c : all) {
    if (c.after && c.round == all.front().round) finalists.push_back(&*c.after);
  }
  if (finalists.empty()) {
    advice.reason = text("every pilot went wrong", elsewhere);
    return;
  }
  const bool is_finalist = advice.recommended < finalists.size();
  const PilotVerdict verdict =
      judge_pilots(*advice.before, finalists, is_finalist ? std::optional(advice.recommended) : std::nullopt);
  const std::string& best = all[verdict.best].name;
  if (!verdict.improves) {
    advice.reason = text("the pilot is too short to tell: no candidate has lowered the loss of the ",
                         advice.plan.held_out, " held-out rows by more than their own spread", elsewhere);
  } else if (!verdict.chosen) {
    advice.reason = text("the pilot is too short to tell the lowest loss (", best, ") from that of ", the_default,
                         " which therefore stays");
  } else {
    std::string alike;
    for (const std::size_t i : verdict.alike) alike += (alike.empty() ? "" : "; ") + all[i].name;
    advice.recommended = *verdict.chosen;
    advice.is_sure = verdict.is_sure();
    advice.reason = text(best, " has the lowest held-out loss for the same FLOPs",
                         alike.empty() ? ", by more than the rows' own spread"
                                       : text("; the pilot is too short to tell it from: ", alike));
  }
}

OrderedJson json_of(const Advice& advice) {
  const auto number = [](bool is_there, double value) { return is_there ? OrderedJson(value) : OrderedJson(); };
  OrderedJson json = {{"budget",
                       {{"flops", advice.budget},
                        {"full", advice.full},
                        {"pilot_allowed", advice.allowed},
                        {"pilot_training", advice.training},
                        {"pilot_evaluation", advice.evaluation}}},
                      {"held_out",
                       {{"data", advice.own_validation ? "validation" : "training"},
                        {"rows", advice.plan.held_out},
                        {"of", advice.rows}}},
                      {"loss_before", number(advice.before.has_value(), advice.before ? advice.before->loss : 0)},
                      {"rounds", advice.plan.rounds.size()}};
  json["candidates"] = OrderedJson::array();
  const Candidate& best = advice.candidates.front();
  for (const Candidate& c : advice.candidates) {
    OrderedJson options = OrderedJson::object();
    for (const auto& [name, value] : c.options) options[name] = value;
    const bool seen = c.after && advice.before, compares = seen && c.round == best.round;
    const double decrease = seen ? advice.before->loss - c.after->loss : 0;
    const PairedDifference behind = compares ? loss_difference(*best.after, *c.after) : PairedDifference{};
    json["candidates"].push_back({{"name", c.name},
                                  {"options", options},
                                  {"steps", c.plan.steps},
                                  {"batch_size", c.plan.batch_size},
                                  {"planned", c.plan.planned},
                                  {"round", c.round},
                                  {"pilot_steps", c.pilot_steps},
                                  {"pilot_flops", c.pilot_flops},
                                  {"loss", number(seen, seen ? c.after->loss : 0)},
                                  {"decrease", number(seen, decrease)},
                                  {"decrease_per_tflop", number(seen, per_tflop(decrease, c.pilot_flops))},
                                  {"behind", number(compares, behind.mean)},
                                  {"behind_low", number(compares, behind.low)},
                                  {"behind_high", number(compares, behind.high)},
                                  {"note", c.note}});
  }
  const Candidate& chosen = advice.candidates[advice.recommended];
  OrderedJson options = OrderedJson::object();
  for (const auto& [name, value] : chosen.options) options[name] = value;
  json["recommendation"] = {{"name", chosen.name},        {"options", options},
                            {"steps", chosen.plan.steps}, {"batch_size", chosen.plan.batch_size},
                            {"depth", depth_of(chosen)},  {"is_sure", advice.is_sure},
                            {"reason", advice.reason},    {"command", advice.command}};
  return json;
}

void print(const Advice& advice) {
  const auto share = static_cast<double>(advice.spent()) / static_cast<double>(std::max<Flops>(1, advice.budget));
  std::cout << "budget " << flops_text(advice.budget) << "; pilots may take " << flops_text(advice.allowed)
            << " of it and have taken " << flops_text(advice.spent()) << " (" << fixed(100 * share, 2)
            << " %), evaluations included\n";
  if (advice.before) {
    std::cout << "loss of " << advice.plan.held_out << " of " << advice.rows
              << (advice.own_validation ? " validation" : " training") << " rows, held out, before training "
              << fixed(advice.before->loss, 4) << '\n';
  }
  std::vector<std::vector<std::string>> rows = {{"candidate", "batch", "steps", "round", "pilot steps", "pilot FLOPs",
                                                 "loss", "less by", "per TFLOP", "behind the lowest"}};
  const Candidate& best = advice.candidates.front();
  for (const Candidate& c : advice.candidates) {
    std::vector<std::string> row = {c.name, text(c.plan.batch_size), text(c.plan.steps)};
    if (c.round > 0) row.insert(row.end(), {text(c.round), text(c.pilot_steps), flops_text(c.pilot_flops)});
    if (c.after && advice.before) {
      const double decrease = advice.before->loss - c.after->loss;
      row.insert(row.end(),
                 {fixed(c.after->loss, 4), fixed(decrease, 4), fixed(per_tflop(decrease, c.pilot_flops), 2)});
      if (&c != &best && c.round == best.round) {
        const PairedDifference d = loss_difference(*best.after, *c.after);
        row.push_back(fixed(d.mean, 4) + " (" + fixed(d.low, 4) + " to " + fixed(d.high, 4) + ")");
      }
    }
    rows.push_back(std::move(row));
  }
  print_table(rows);
  for (const Candidate& c : advice.candidates) {
    if (!c.note.empty()) std::cout << c.name << ": " << c.note << '\n';
  }
  const Candidate& chosen = advice.candidates[advice.recommended];
  std::cout << "recommended: " << chosen.name << ", " << depth_of(chosen) << ", " << chosen.plan.steps
            << " steps of batch size " << chosen.plan.batch_size << ": " << advice.reason << '\n'
            << "One seed, and short runs favour high rates: greentrainer experiment compares whole runs.\n"
            << advice.command << '\n';
}

NamedOptions read_advice(const std::string& file) {
  const auto fail = [&](const std::string& what) {
    throw LoadError("finetune", file, text("expected what greentrainer advise --json prints, got ", what));
  };
  const auto json = read_json_file<OrderedJson>(file, largest_advice);
  const auto part = [&](const OrderedJson& of, const char* key) -> const OrderedJson& {
    if (!of.is_object() || !of.contains(key) || !of[key].is_object()) fail(text("no object \"", key, '"'));
    return of[key];
  };
  NamedOptions options;
  for (const auto& [name, value] : part(part(json, "recommendation"), "options").items()) {
    if (!value.is_string()) fail(text("the option \"", name, "\" without a text"));
    options.emplace_back(name, value.get<std::string>());
  }
  const auto method = std::ranges::find(options, "method", &NamedOptions::value_type::first);
  if (method == options.end()) fail("no method");
  const auto of = options_of(method->second);
  if (of.empty()) fail(text("the method \"", method->second, '"'));
  for (const auto& [name, value] : options) {
    if (name != "method" && std::ranges::find(of, name) == of.end())
      fail(text("the option \"", name, "\" of the method ", method->second));
  }
  std::ranges::rotate(options.begin(), method, std::next(method));  // first, since others depend on it
  return options;
}

}  // namespace greentrainer::program
