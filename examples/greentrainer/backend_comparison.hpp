#pragma once

// What two backends make of the same model and data: kernel by kernel on the same operands, and tensor by tensor, each
// going its own way.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/backends/comparing.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/train/trainer.hpp"

namespace greentrainer::program {

/// What may differ, for products of some precision.
struct ComparisonTolerance {
  double product_epsilon = 0;  ///< of one, the rounding of a product's factors; 0: that of the element type
  double loss = 1e-5;          ///< these three: Euclidean norm of the difference / norm of the reference
  double logits = 1e-4;
  double gradients = 1e-3;
};

/// Factors of tf32 have 10 bits of mantissa, of bf16 7.
inline ComparisonTolerance tolerance_of(const std::string& precision) {
  if (precision == "tf32") return {.product_epsilon = 0x1p-10, .loss = 1e-3, .logits = 1e-2, .gradients = 5e-2};
  if (precision == "bfloat16") return {.product_epsilon = 0x1p-7, .loss = 1e-2, .logits = 5e-2, .gradients = 2e-1};
  return {};
}

/// Two backends' values of one tensor.
struct TensorDifference {
  std::string name;
  double absolute = 0;    ///< largest |other - reference|
  double relative = 0;    ///< of the Euclidean norms
  double tolerance = 0;   ///< of `relative`
  std::size_t where = 0;  ///< element of the largest difference

  bool agrees() const { return relative <= tolerance; }
};

struct BackendComparison {
  std::string reference, other;  ///< names
  std::map<std::string, KernelDifference, std::less<>> kernels;
  std::vector<TensorDifference> tensors;  ///< loss, logits, and the gradient of every parameter

  bool agrees() const {
    return std::all_of(kernels.begin(), kernels.end(), [](const auto& kernel) { return kernel.second.excess <= 1; }) &&
           std::all_of(tensors.begin(), tensors.end(), [](const TensorDifference& t) { return t.agrees(); });
  }
};

/// A norm below `floor` counts as `floor`: what is zero by mathematics is rounding noise in practice, and noise differs
/// by as much as it is.
inline TensorDifference tensor_difference(std::string name, const std::vector<float>& expected,
                                          const std::vector<float>& actual, double tolerance, double floor) {
  TensorDifference difference{.name = std::move(name), .tolerance = tolerance};
  double squares = 0, expected_squares = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double e = static_cast<double>(expected[i]), d = std::abs(static_cast<double>(actual[i]) - e);
    expected_squares += e * e;
    squares += d * d;
    if (d <= difference.absolute) continue;
    difference.absolute = d;
    difference.where = i;
  }
  difference.relative = squares == 0 ? 0 : std::sqrt(squares) / std::max(std::sqrt(expected_squares), floor);
  if (!(difference.relative >= 0)) difference.relative = std::numeric_limits<double>::infinity();
  return difference;
}

/// What a pass over a batch gives.
struct PassValues {
  float loss = 0;
  std::vector<float> logits;  ///< (labelled tokens, vocabulary)
  std::vector<std::string> names;
  std::vector<std::vector<float>> gradients;  ///< of every parameter
};

template <Backend B>
PassValues run_pass(B& backend, const std::filesystem::path& folder, const Batch& batch) {
  auto model = load_pretrained(folder, backend);
  check_batch(model.facts(), batch);
  const Selection all = select_all(model.graph());
  GradientStore<B> gradients(backend);
  gradients.select(model.graph(), all);
  gradients.zero();
  Tensor<B> logits(backend, batch.labelled(), model.facts().vocabulary);
  const double scale = 1.0 / static_cast<double>(batch.labelled());
  PassValues values;
  values.loss = static_cast<float>(
      scale * model.executor().run(make_schedule(model.graph(), all), batch,
                                   {.gradient_scale = scale, .gradients = &gradients, .logits = logits.matrix()}));
  values.logits = logits.download();
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    values.names.push_back(model.graph().parameter(id).name);
    values.gradients.push_back(gradients[id].download());
  }
  return values;
}

/// `examples` make one batch. Kernels are those of two steps of GreenTrainer with AdamW, importance and clipping, and
/// of evaluation.
template <Backend A, Backend B>
BackendComparison compare_backends(A& reference, B& other, const std::filesystem::path& folder,
                                   std::span<const Example> examples, const ComparisonTolerance& tolerance) {
  BackendComparison result{.reference = reference.name(), .other = other.name(), .kernels = {}, .tensors = {}};
  {
    ComparingBackend comparing(reference, other, tolerance.product_epsilon);
    auto model = load_pretrained(folder, comparing);
    Trainer trainer{model, GreenOptions{.flops_ratio = 1}, AdamWOptions{.learning_rate = 1e-4}};
    trainer.fit(examples,
                {.steps = 2, .batch_size = static_cast<Extent>(examples.size()), .clip_norm = 1e-3, .shuffle = false});
    result.kernels = comparing.by_kernel();
  }
  std::vector<std::size_t> rows(examples.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i;
  const Batch batch = collate(examples, rows);
  const PassValues expected = run_pass(reference, folder, batch), actual = run_pass(other, folder, batch);
  result.tensors.push_back(tensor_difference("loss", {expected.loss}, {actual.loss}, tolerance.loss, 0));
  result.tensors.push_back(tensor_difference("logits", expected.logits, actual.logits, tolerance.logits, 0));
  double squares = 0, elements = 0;
  for (const std::vector<float>& gradient : expected.gradients) {
    for (const float g : gradient) squares += static_cast<double>(g) * static_cast<double>(g);
    elements += static_cast<double>(gradient.size());
  }
  constexpr double noise = 1e-3;  // of a typical gradient
  for (std::size_t i = 0; i < expected.gradients.size(); ++i) {
    const double floor = noise * std::sqrt(squares / elements * static_cast<double>(expected.gradients[i].size()));
    result.tensors.push_back(tensor_difference("gradient of " + expected.names[i], expected.gradients[i],
                                               actual.gradients[i], tolerance.gradients, floor));
  }
  return result;
}

}  // namespace greentrainer::program
