#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/version.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/train/prefix_store.hpp"
#include "greentrainer/train/training_options.hpp"

namespace greentrainer {

/// Everything that determines the numbers of a run, each by its name. Two runs with the same identity give the same
/// numbers.
using RunIdentity = std::map<std::string, std::string>;

/// A saved run has another identity than the run that is to continue it. A ConfigError whose subject is the first thing
/// that differs.
class StateMismatch : public ConfigError {
 public:
  using ConfigError::ConfigError;
};

/// The entries of an identity about build and machine, which may differ on request.
inline constexpr std::array<std::string_view, 2> build_entries = {"backend", "build"};

namespace detail {

inline std::string digits_of(const Checksum& sum) {
  std::string digits;
  for (int shift = 60; shift >= 0; shift -= 4) digits += "0123456789abcdef"[(sum.value() >> shift) & 15U];
  return digits;
}

/// Two builds with the same text round alike, as far as a program can tell.
inline std::string build_text() {
  std::string build = text("greentrainer ", version, ", compiler ");
#ifdef __VERSION__
  build += __VERSION__;
#endif
#ifdef __FAST_MATH__
  build += ", fast math";
#endif
#ifdef __FMA__
  build += ", fused multiply-add";
#endif
  return build;
}

/// The name of a backend without the parts that its results do not depend on.
template <Backend B>
std::string arithmetic_of(const B& backend) {
  if constexpr (requires { backend.arithmetic_name(); })
    return backend.arithmetic_name();
  else
    return backend.name();
}

}  // namespace detail

/// Which examples, in which order: their number and a sum of all their tokens and numbers.
inline std::string identity_of(std::span<const Example> examples) {
  Checksum sum;
  for (const Example& example : examples) {
    for (const auto* tokens : {&example.input_ids, &example.labels, &example.source_ids})
      sum.add(std::as_bytes(std::span(*tokens)));
    if (example.shifts_labels && example.features.empty() && example.targets.empty()) continue;
    for (const auto* numbers : {&example.features, &example.targets}) sum.add(std::as_bytes(std::span(*numbers)));
    sum.add(example.shifts_labels ? 1U : 0U);
  }
  return text(examples.size(), " examples of sum ", detail::digits_of(sum));
}

/// Operators, names, shapes and weights of a model as they are now. Reads all weights.
template <Backend B>
std::string identity_of(Model<B>& model) {
  Checksum sum;
  for (const auto& node : model.graph().operators()) sum.add(std::as_bytes(std::span(node.name)));
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    const Parameter& p = model.graph().parameter(id);
    sum.add(std::as_bytes(std::span(p.name)));
    sum.add(std::as_bytes(std::span(p.shape)));
    model.parameters().for_values(id, Extent{1} << 16, [&](const auto& some) { sum.add(std::as_bytes(some)); });
  }
  return text(model.facts().model_type, " of ", model.graph().parameters().size(), " tensors of sum ",
              detail::digits_of(sum));
}

/// A set of tensors by their numbers, and what is detached.
inline std::string identity_of(const Selection& selection) {
  Checksum sum;
  for (const bool selected : selection.mask()) sum.add(selected ? 1U : 0U);
  for (const BitSet inputs : selection.detached().inputs()) sum.add(inputs);
  return text(selection.count(), " tensors of sum ", detail::digits_of(sum));
}

/// The options that a fit's numbers follow from, by their fields' names. What a run only says or where it keeps values
/// is not among them.
inline void add_identity(RunIdentity& identity, const FitOptions& o) {
  const auto is = [](bool value) { return std::string(value ? "true" : "false"); };
  identity["epochs"] = text(o.steps > 0 ? 0 : o.epochs);
  identity["steps"] = text(o.steps);
  identity["batch_size"] = text(o.batch_size);
  identity["gradient_accumulation"] = text(o.gradient_accumulation);
  if (o.gradient_sums == GradientSums::exact) identity["gradient_sums"] = "exact";
  identity["budget"] = text(o.budget.flops, " FLOPs, ", exact_text(o.budget.share_of_full), " of full fine-tuning, ",
                            exact_text(o.budget.seconds), " seconds, ", exact_text(o.budget.joules), " joules");
  identity["budget_cuts"] = o.budget.cuts == BudgetCuts::batch ? "batch" : "steps";
  identity["schedule"] = o.schedule.of_step ? "of_step" : LearningRateSchedule::name_of(o.schedule.kind);
  identity["warmup"] = text(o.schedule.warmup_steps);
  identity["clip_norm"] = exact_text(o.clip_norm);
  identity["prefix_cache"] = o.prefix_cache == PrefixCacheMode::off      ? "off"
                             : o.prefix_cache == PrefixCacheMode::memory ? "memory"
                                                                         : "disk";
  if (o.prefix_cache != PrefixCacheMode::off) {
    identity["prefix_cache_limit"] = text(o.prefix_cache_limit);
    identity["prefix_cache_type"] = o.prefix_cache_type ? std::string(name_of(*o.prefix_cache_type)) : "as computed";
  }
  identity["memory_limit"] = text(o.memory_limit);
  identity["shuffle"] = is(o.shuffle);
  identity["seed"] = text(o.seed);
  identity["evaluate"] = o.evaluate == Evaluations::none     ? "none"
                         : o.evaluate == Evaluations::before ? "before"
                         : o.evaluate == Evaluations::after  ? "after"
                                                             : "both";
  identity["evaluation_examples"] = text(o.evaluation_examples);
  identity["evaluate_every"] = o.evaluate_every ? text_of(*o.evaluate_every) : "none";
  identity["keep_best"] =
      !o.keep_best ? "none" : text(o.keep_best->larger_is_better ? "largest " : "smallest ", o.keep_best->name);
  identity["patience"] = text(o.patience);
  identity["validation"] = identity_of(o.validation);
  for (const auto& [name, value] : o.also_depends_on) identity[name] = value;
}

/// Throws StateMismatch naming the entries in which a run differs from a saved one; the first is its subject: an
/// option, where one differs, since the backend's name may follow from it. `other_build` allows those of build_entries
/// to differ.
inline void expect_same_run(const std::string& where, const RunIdentity& saved, const RunIdentity& now,
                            bool other_build) {
  const auto is_of_build = [](const std::string& name) {
    return std::find(build_entries.begin(), build_entries.end(), name) != build_entries.end();
  };
  const auto value_in = [](const RunIdentity& identity, const std::string& name) {
    const auto found = identity.find(name);
    return found == identity.end() ? std::string("nothing") : found->second;
  };
  RunIdentity all = saved;
  all.insert(now.begin(), now.end());
  std::vector<std::string> differing;
  for (const auto& [name, unused] : all) {
    if (value_in(saved, name) != value_in(now, name) && !(other_build && is_of_build(name))) differing.push_back(name);
  }
  if (differing.empty()) return;
  std::stable_partition(differing.begin(), differing.end(), [&](const auto& name) { return !is_of_build(name); });
  const std::string& first = differing.front();
  std::string others;
  for (std::size_t i = 1; i < differing.size(); ++i)
    others += (i > 1 ? ", " : "; other than then are also ") + differing[i];
  throw StateMismatch("load", first,
                      text("expected ", value_in(saved, first), ", which the run saved in ", where,
                           " was started with, got ", value_in(now, first), others));
}

}  // namespace greentrainer
