#pragma once

#include <chrono>
#include <exception>
#include <optional>
#include <string>

#include "console.hpp"
#include "finetune_report.hpp"
#include "greentrainer/pretrained/weights_as_saved.hpp"
#include "greentrainer/train/evaluation.hpp"
#include "greentrainer/train/evaluation_sample.hpp"
#include "progress.hpp"

namespace greentrainer::program {

/// What to say where rounding took more than 5% of what training gained; empty otherwise, and where there was no gain.
std::string rounding_warning(const TrainingReport& report, double unrounded, const std::string& dtype);

/// The element type of a saved folder's tensors: the one asked for, or the model's.
template <Backend B>
std::string saved_dtype_name(const PretrainedModel<B>& model, std::optional<DType> asked) {
  std::optional<DType> all = asked;
  for (ParameterId id = 0; !asked && id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    if (model.graph().parameter(id).is_adapter()) continue;
    const DType own = *model.stored().saved(id).dtype;
    if (all && *all != own) return "each tensor's own type";
    all = own;
  }
  return std::string(name_of(all.value_or(DType::float32)));
}

/// Puts the loss of the weights as `dtype` will hold them in the place of that of the weights in memory, which `around`
/// then keeps beside it; nothing changes where the two kinds of weights are the same. Says on stderr what rounding
/// costs, if that is much.
template <Backend B>
void take_saved_loss(PretrainedModel<B>& model, const EvaluationSample& sample, std::optional<DType> dtype,
                     Progress& progress, TrainingReport& report, Surroundings& around) {
  if (!report.loss_after) return;
  const auto start = std::chrono::steady_clock::now();
  try {
    const WeightsAsSaved<B> saved(model, dtype);
    if (!saved.differ()) return;
    const std::size_t of = sample.examples().size();
    const Evaluation evaluation =
        evaluate(model, sample.examples(),
                 {.on_pass = [&](std::size_t done) { progress.evaluation(done, of, "with the weights as saved"); }});
    around.loss_after_unrounded = report.loss_after;
    report.loss_after = evaluation.loss;
    report.flops.evaluation += evaluation.flops;
  } catch (const std::exception& error) {  // whatever it is, what was trained must still be saved
    say(text("warning: the loss of the weights as saved is not known: ", error.what()));
  }
  report.seconds.evaluation += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  progress.clear();
  if (!around.loss_after_unrounded) return;
  const std::string warning = rounding_warning(report, *around.loss_after_unrounded, around.saved_dtype);
  if (!warning.empty()) say(warning);
}

}  // namespace greentrainer::program
