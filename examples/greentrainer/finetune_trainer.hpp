#pragma once

#include <cstdint>
#include <filesystem>

#include "finetune_options.hpp"
#include "greentrainer/models/detached_context.hpp"
#include "greentrainer/pretrained/adapter_folder.hpp"
#include "greentrainer/pretrained/load_adapter.hpp"
#include "greentrainer/select/dependencies.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "greentrainer/select/random_at_depth.hpp"
#include "greentrainer/train/trainer.hpp"
#include "optimizer_choice.hpp"
#include "option_values.hpp"

namespace greentrainer::program {

/// What a method other than green trains, but for what is frozen.
template <Backend B>
Selection selection_of_method(const Model<B>& model, const FinetuneOptions& options) {
  const auto& graph = model.graph();
  if (const auto count = last_layers(options.method)) return select_last_layers(graph, model.facts(), *count);
  if (options.method == "bitfit") return select_biases(graph);
  if (options.method == "listed") return select_listed(graph, options.tensors);
  if (options.method == "lora" || options.method == "prefix") return select_adapters(graph);
  if (options.method == "layernorm") return select_norms(graph);
  return select_all(graph);
}

/// The selector, and what it is told of the graph. Told less than there is, it overspends: the budget is then what it
/// believes.
template <Backend B>
SelectFunction selector_of(const TensorGraph<B>& graph, const FinetuneOptions& options) {
  return [&graph, dependencies = options.dependencies, greedy = options.selector == "ratio",
          draws = options.selector == "random-at-depth",
          random = RandomAtDepthSelector(static_cast<std::uint64_t>(options.seed))](const SelectionProblem& problem) {
    const auto select = [&](const SelectionProblem& p) {
      if (draws) return random.select(p);
      return greedy ? ImportancePerFlopSelector{}.select(p) : ExactSelector{}.select(p);
    };
    if (dependencies == "chain") return select(with_chain_dependencies(graph, problem));
    if (dependencies == "none") return select(without_dependencies(problem));
    return select(problem);
  };
}

/// The model's folder, with what the options add to it: new adapters, or those of a folder.
template <Backend B>
PretrainedModel<B> load_model(const FinetuneOptions& options, B& backend) {
  const std::filesystem::path folder = options.model;
  const StorageFormat* const format = parse_frozen_format("finetune", options.frozen_format);
  if (options.from_adapter.empty()) {
    GraphOptions graph = options.adapters.graph_options(options.method);
    graph.frozen_format = format;
    graph.keeps_source_format = options.frozen_format == "source";
    return load_pretrained(folder, backend, graph, static_cast<std::uint64_t>(options.seed));
  }
  AdapterFolder adapter = read_adapter(options.from_adapter);
  const bool is_lora = adapter.options.lora.has_value();
  if (is_lora != (options.method == "lora")) {
    throw ConfigError(
        "finetune", "--from-adapter",
        text("expected an adapter of --method ", options.method, ", got one of ", is_lora ? "lora" : "prefix"));
  }
  if (is_lora) adapter.options.lora->dropout = options.adapters.lora_dropout;
  adapter.options.dropout = options.adapters.dropout;
  adapter.options.frozen_format = format;
  adapter.options.keeps_source_format = options.frozen_format == "source";
  return load_pretrained_with_adapter(folder, adapter, backend);
}

/// What is trained of a model's weights: the model as it is, or with gradients that stop at the context.
template <Backend B>
Model<B> trained_model(Model<B>& model, const FinetuneOptions& options) {
  if (!detaches_context(options)) return model.share();
  return with_detached_context(model, parse_context_gradients(options.context_gradients));
}

/// Has the run end with exact gradients where that is asked for: those of the model itself.
template <Backend B>
void use_ending(Trainer<B>& trainer, Model<B>& model, const FinetuneOptions& options) {
  if (ends_exactly(options)) trainer.use_ending(model, parse_ending("finetune", options.exact_ending));
}

/// Calls use(options of the optimizer that is asked for).
template <Backend B, class Use>
auto with_optimizer(const Model<B>& model, const FinetuneOptions& options, const Use& use) {
  const Selection undecayed = options.no_decay_on == "none" ? Selection() : select_norms_and_biases(model.graph());
  RateFactor faster;
  if (options.adapters.rate_factor != 1)
    faster = {.of = select_adapters(model.graph()), .factor = options.adapters.rate_factor};
  return with_default_options(options.optimizer, [&](auto optimizer) {
    optimizer.learning_rate = options.learning_rate;
    optimizer.weight_decay = options.weight_decay;
    optimizer.undecayed = undecayed;
    optimizer.rate_factor = faster;
    if constexpr (requires { optimizer.momentum; }) optimizer.momentum = options.momentum;
    return use(optimizer);
  });
}

/// The trainer that the options ask for.
template <Backend B>
Trainer<B> make_trainer(Model<B>& model, const FinetuneOptions& options) {
  const Interval every = parse_interval("--reselect-every", options.reselect_every);
  PassingOptions passing{.exact_share = options.passing_share, .seed = static_cast<std::uint64_t>(options.seed)};
  return with_optimizer(model, options, [&](const auto& optimizer) {
    if (options.method != "green") {
      Trainer<B> trainer(model, without_frozen(model.graph(), selection_of_method(model, options), options.freeze),
                         optimizer);
      passing.every = every;
      if (rotates_branches(options)) trainer.use_passing(passing);
      return trainer;
    }
    Trainer<B> trainer(model,
                       GreenOptions{.flops_ratio = options.rho,
                                    .phases = parse_phases("finetune", options.phases),
                                    .importance = options.importance,
                                    .importance_batches = options.importance_batches,
                                    .importance_step = options.importance_step,
                                    .worth = options.worth,
                                    .sampling = options.sampling == "importance" ? Sampling::importance : Sampling::off,
                                    .reselect_every = every,
                                    .freeze = options.freeze},
                       optimizer);
    trainer.use_selector(selector_of(model.graph(), options));
    if (rotates_branches(options)) trainer.use_passing(passing);
    return trainer;
  });
}

}  // namespace greentrainer::program
