#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/train/state_tensors.hpp"
#include "greentrainer/train/trainer_parts.hpp"
#include "greentrainer/train/training_state.hpp"

namespace greentrainer {

/// The report of a run so far, with the times that are measured elsewhere.
template <Backend B>
TrainingReport report_so_far(const TrainerParts<B>& parts, const TrainingRun& run) {
  TrainingReport report = parts.report;
  const auto passes = parts.profile.total();
  report.seconds.forward += passes.forward;
  report.seconds.backward += passes.backward;
  report.ending_steps = std::max<Extent>(0, run.next_step - run.ending_from);
  report.seconds.total += seconds_since(run.started) - (report.seconds.callbacks - run.earlier_callbacks);
  return report;
}

/// Remembers whose values the cache holds, and where they are cut, before it goes.
template <Backend B>
void note_cached(const TrainerParts<B>& parts, TrainingRun& run) {
  const PrefixCache<B>* cache = parts.pass.cache();
  if (cache == nullptr) return;
  run.cut = cache->cut();
  run.cached.clear();
  for (std::size_t i = 0; i < run.batches.count(); ++i) {
    if (cache->store().holds(i)) run.cached.push_back(i);
  }
}

/// The shape that a tensor of a parameter's state has in files: the parameter's, where it has as many elements.
template <Backend B>
ParameterShape state_shape(const Parameter& p, const Tensor<B>& state) {
  return state.size() == p.size() ? p.shape : ParameterShape{state.rows(), state.cols()};
}

/// All that a run is, to be written before it goes on, or copied. Requires that no step is half made.
template <Backend B>
StateToWrite state_to_write(TrainerParts<B>& parts, TrainingRun& run) {
  const auto& graph = parts.model.graph();
  auto& backend = parts.model.backend();
  note_cached(parts, run);
  TrainingState state{.identity = run.identity,
                      .next_step = run.next_step,
                      .selection_made = run.selection_made,
                      .selected = names_of(graph, parts.held()),
                      .changed = names_of(graph, run.changed),
                      .updates = {},
                      .cut = run.cut ? static_cast<Extent>(run.cut->op) : 0,
                      .cached = run.cached,
                      .report = report_so_far(parts, run)};
  StateToWrite all;
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    const Parameter& p = graph.parameter(id);
    if (run.changed.contains(id))
      all.weights.push_back(tensor_to_write(backend, p.name, p.shape, parts.model.parameters()[id]));
    if (parts.optimizer->updates(id) > 0) state.updates[p.name] = parts.optimizer->updates(id);
    for (const auto& kept : parts.optimizer->state_tensors(id))
      all.optimizer.push_back(
          tensor_to_write(backend, text(p.name, '.', kept.name), state_shape(p, *kept.tensor), *kept.tensor));
  }
  if (parts.best) {
    for (const auto& [id, copy] : parts.best->copies()) {
      const Parameter& p = graph.parameter(id);
      all.best.push_back(
          TensorToWrite::values_of<typename B::Scalar>(p.name, dtype_of<typename B::Scalar>(), p.shape, copy));
    }
  }
  all.state = std::make_shared<const TrainingState>(std::move(state));
  return all;
}

namespace detail {

/// The parameters of these names. Throws LoadError for one that the graph has not, or that comes twice.
template <class P>
Selection selection_of(const TensorGraph<P>& graph, const std::vector<std::string>& names, const std::string& source) {
  Selection selection = select_none(graph);
  for (const std::string& name : names) {
    const auto id = graph.find(name);
    if (!id || selection.contains(*id))
      throw LoadError("load", source, text("expected tensors of the model, each once, got ", name));
    selection.insert(*id);
  }
  return selection;
}

/// A cut of the graph at this operator, below all that is trained; nothing for operator 0.
template <class P>
std::optional<Cut> cut_at(const TensorGraph<P>& graph, Extent op, const Selection& selection,
                          const std::string& source) {
  if (op == 0) return std::nullopt;
  for (Cut& cut : cacheable_cuts(graph)) {
    if (cut.op == op && cut.op <= first_trained(graph, selection)) return std::move(cut);
  }
  throw LoadError("load", text(source, ", field \"cut\""),
                  text("expected an operator below which values can be cached, got ", op));
}

}  // namespace detail

/// A saved run that was checked, against the trainer that is to go on with it.
struct CheckedState {
  Selection selected, changed;
  std::optional<Cut> cut;
};

/// The evaluations of a saved run, and the best weights with them. Calls `refuse` for what no run saves.
template <Backend B, class Refuse>
void check_saved_evaluations(const TrainerParts<B>& parts, const TrainingRun& run, const StateFolder& saved,
                             const Refuse& refuse) {
  const TrainingState& state = saved.state;
  Extent last = -1;
  for (const EvaluationRecord& record : state.report.evaluations) {
    if (record.step <= last || record.step > state.next_step)
      refuse("report.evaluations.step", "expected ascending steps up to ", state.next_step, ", got ", record.step);
    if (record.best && (!run.options.keep_best || record.step == 0))
      refuse("report.evaluations.best", "expected false after step ", record.step, ", got true");
    last = record.step;
  }
  const std::size_t copies = parts.best ? state.changed.size() : 0;
  if (saved.best.tensors().size() != copies)
    refuse("changed", "expected ", saved.best.tensors().size(), " tensors in ", StateFolder::best_file, ", got ",
           copies);
  const auto& graph = parts.model.graph();
  for (std::size_t i = 0; i < copies; ++i)
    expect_tensor<B>(saved.best, state.changed[i], graph.parameter(*graph.find(state.changed[i])).shape);
}

/// Throws LoadError for a state that no run of this trainer can have saved.
template <Backend B>
CheckedState check_state(TrainerParts<B>& parts, const TrainingRun& run, const StateFolder& saved) {
  const auto& graph = parts.model.graph();
  const TrainingState& state = saved.state;
  const std::string source = (saved.weights.path().parent_path() / StateFolder::state_file).string();
  const auto refuse = [&](const char* field, const auto&... detail) {
    throw LoadError("load", text(source, ", field \"", field, '"'), text(detail..., "; is the file damaged?"));
  };
  if (state.next_step > run.batches.steps())
    refuse("next_step", "expected at most ", run.batches.steps(), ", got ", state.next_step);
  if (state.report.steps > state.next_step || state.report.steps + state.report.skipped != state.next_step ||
      static_cast<Extent>(state.report.history.size()) != state.next_step)
    refuse("report", "expected a report of ", state.next_step, " steps, got one of ", state.report.steps);
  CheckedState checked{.selected = detail::selection_of(graph, state.selected, source),
                       .changed = detail::selection_of(graph, state.changed, source),
                       .cut = {}};
  if (!state.report.selections.empty()) {
    checked.selected = Selection(checked.selected.mask(), parts.choice.detached(state.report.selections.back().step));
  }
  checked.cut = detail::cut_at(graph, state.cut, checked.selected, source);
  if (checked.cut && parts.pass.cache() == nullptr) refuse("cut", "expected none without a prefix cache");
  if (!checked.cut && !state.cached.empty()) refuse("cached", "expected nothing without a cut");
  for (std::size_t i = 0; i < state.cached.size(); ++i) {
    if (state.cached[i] >= run.batches.count() || (i > 0 && state.cached[i] <= state.cached[i - 1]))
      refuse("cached", "expected ascending numbers of ", run.batches.count(), " examples, got ", state.cached[i]);
  }
  for (const auto& [name, count] : state.updates) {
    const auto id = graph.find(name);
    if (!id || !checked.selected.contains(*id)) refuse("updates", "expected selected tensors, got ", name);
    if (count > most_steps) refuse("updates", "expected at most ", most_steps, ", got ", count);
  }
  for (const std::string& name : state.changed)
    expect_tensor<B>(saved.weights, name, graph.parameter(*graph.find(name)).shape);
  if (saved.weights.tensors().size() != state.changed.size())
    refuse("changed", "expected ", saved.weights.tensors().size(), " tensors, got ", state.changed.size());
  check_saved_evaluations(parts, run, saved, refuse);
  return checked;
}

/// The optimizer's tensors by their names in the file. Throws LoadError unless it has these and no others.
template <Backend B>
std::vector<std::pair<std::string, Tensor<B>*>> optimizer_tensors(TrainerParts<B>& parts, const SafetensorsFile& file) {
  const auto& graph = parts.model.graph();
  std::vector<std::pair<std::string, Tensor<B>*>> tensors;
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    for (const auto& kept : parts.optimizer->state_tensors(id)) {
      tensors.emplace_back(text(graph.parameter(id).name, '.', kept.name), kept.tensor);
      expect_tensor<B>(file, tensors.back().first, state_shape(graph.parameter(id), *kept.tensor));
    }
  }
  if (file.tensors().size() != tensors.size()) {
    throw LoadError("load", file.path().string(),
                    text("expected ", tensors.size(), " tensors, got ", file.tensors().size()));
  }
  return tensors;
}

/// Restores a trainer, whose run has just been started, to the state in which the run was saved. Throws LoadError and
/// StateMismatch; nothing has changed then while `run.is_whole`.
template <Backend B>
void load_run(TrainerParts<B>& parts, TrainingRun& run, const std::filesystem::path& folder, bool other_build) {
  const auto& graph = parts.model.graph();
  auto& backend = parts.model.backend();
  const StateFolder saved = StateFolder::read(folder);
  expect_same_run(folder.string(), saved.state.identity, run.identity, other_build);
  const CheckedState checked = check_state(parts, run, saved);

  run.is_whole = false;
  parts.gradients.select(graph, select_none(graph));
  parts.optimizer->select(graph, select_none(graph));
  parts.optimizer->select(graph, checked.selected);
  const auto of_optimizer = optimizer_tensors(parts, saved.optimizer);
  for (const auto& [name, tensor] : of_optimizer) read_tensor(backend, saved.optimizer, name, *tensor);
  for (const auto& [name, count] : saved.state.updates) {
    const ParameterId id = *graph.find(name);
    if (!parts.optimizer->state_tensors(id).empty()) parts.optimizer->set_updates(id, count);
  }
  parts.hold_elements(checked.changed);
  parts.hold_elements(checked.selected);
  for (const std::string& name : saved.state.changed)
    read_tensor(backend, saved.weights, name, parts.model.parameters()[*graph.find(name)]);
  for (const TensorInfo& copy : saved.best.tensors()) {
    const ParameterId id = *graph.find(copy.name);
    parts.best->read(id, graph.parameter(id).size(), saved.best, copy.name);
  }
  parts.selection = parts.with_state = checked.selected;
  parts.gradients.select(graph, checked.selected);

  const RunPlan plan = parts.report.plan;
  const auto evaluated = parts.report.evaluated;
  parts.report = saved.state.report;
  parts.report.plan = plan;
  parts.report.evaluated = evaluated;
  if (const BranchRotation* rotation = parts.choice.rotation()) {
    for (SelectionRecord& record : parts.report.selections) record.identity_branches = rotation->names(record.step);
  }
  run.earlier_callbacks = parts.report.seconds.callbacks;
  run.next_step = saved.state.next_step;
  run.selection_made = saved.state.selection_made;
  run.changed = checked.changed;
  if (!parts.report.selections.empty()) {
    if (parts.report.selections.back().step >= run.ending_from)
      parts.go_through(true, run.batches, run.sample.examples(), run.options);
    const auto pass = parts.memory->training(checked.selected, checked.cut);
    parts.pass.select(checked.selected, checked.cut, pass.segments, parts.memory->room());
    parts.report.flops.refilled += parts.pass.refill(run.batches, saved.state.cached, run.options.batch_size);
  }
  run.is_whole = true;
}

}  // namespace greentrainer
