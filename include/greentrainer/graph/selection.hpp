#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"

namespace greentrainer {

/// Inputs that operators read as constants, as PyTorch's x.detach(): no gradient goes through them. Gradients below are
/// approximate then. None by default. See residual_branches for inputs that may be detached.
class DetachedInputs {
 public:
  bool contains(OperatorId op, int input) const {
    const auto at = static_cast<std::size_t>(op);
    return at < inputs_.size() && ((inputs_[at] >> input) & 1U) != 0;
  }
  void insert(OperatorId op, int input) {
    inputs_.resize(std::max(inputs_.size(), static_cast<std::size_t>(op) + 1), 0);
    inputs_[static_cast<std::size_t>(op)] |= bit(input);
  }
  bool empty() const { return inputs_.empty(); }
  /// By operator, up to the last one with such an input.
  const std::vector<BitSet>& inputs() const { return inputs_; }

  friend bool operator==(const DetachedInputs&, const DetachedInputs&) = default;

 private:
  std::vector<BitSet> inputs_;
};

/// What a backward pass is for: the set of parameters to train, one entry for each of the graph's, in its order; and
/// the inputs that no gradient goes through.
class Selection {
 public:
  Selection() = default;
  explicit Selection(std::vector<bool> mask, DetachedInputs detached = {})
      : mask_(std::move(mask)), detached_(std::move(detached)) {}

  bool contains(ParameterId id) const { return mask_[static_cast<std::size_t>(id)]; }
  void insert(ParameterId id) { mask_[static_cast<std::size_t>(id)] = true; }
  const std::vector<bool>& mask() const { return mask_; }
  std::size_t count() const { return static_cast<std::size_t>(std::count(mask_.begin(), mask_.end(), true)); }
  const DetachedInputs& detached() const { return detached_; }

  friend bool operator==(const Selection&, const Selection&) = default;

 private:
  std::vector<bool> mask_;
  DetachedInputs detached_;
};

template <class P>
Selection select_none(const TensorGraph<P>& graph) {
  return Selection(std::vector<bool>(graph.parameters().size(), false));
}

/// Full fine-tuning.
template <class P>
Selection select_all(const TensorGraph<P>& graph) {
  return Selection(std::vector<bool>(graph.parameters().size(), true));
}

/// The parameters for which `wanted(const Parameter&)` holds.
template <class P, class Predicate>
Selection select_where(const TensorGraph<P>& graph, Predicate wanted) {
  Selection selection = select_none(graph);
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (wanted(graph.parameter(id))) selection.insert(id);
  }
  return selection;
}

/// Bias terms alone (BitFit): vectors whose name ends in ".bias".
template <class P>
Selection select_biases(const TensorGraph<P>& graph) {
  return select_where(graph, [](const Parameter& p) { return p.name.ends_with(".bias"); });
}

/// Weights and biases of the normalisations alone: parameters of operators of kind layer_norm or rms_norm.
template <class P>
Selection select_norms(const TensorGraph<P>& graph) {
  Selection selection = select_none(graph);
  for (const auto& node : graph.operators()) {
    if (node.op->kind() != "layer_norm" && node.op->kind() != "rms_norm") continue;
    for (const ParameterId id : node.parameters) selection.insert(id);
  }
  return selection;
}

/// What transformers' Trainer spares from weight decay: parameters of normalisations, and biases, those of positions
/// in T5 among them. It misses HyperCLOVA X's post_norm1 and post_norm2, which are among these.
template <class P>
Selection select_norms_and_biases(const TensorGraph<P>& graph) {
  Selection selection = select_norms(graph);
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (graph.parameter(id).name.find("bias") != std::string::npos) selection.insert(id);
  }
  return selection;
}

/// What was added to the model: LoRA's matrices, a prefix.
template <class P>
Selection select_adapters(const TensorGraph<P>& graph) {
  return select_where(graph, [](const Parameter& p) { return p.is_adapter(); });
}

/// Whether `name` matches `pattern`, in which `*` stands for any text and `?` for one character. Linear in practice,
/// never exponential.
inline bool matches_glob(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

/// The parameters that any of the patterns, an option of this name, matches. Throws ConfigError for a pattern that
/// matches none.
template <class P>
Selection select_listed(const TensorGraph<P>& graph, const std::vector<std::string>& patterns,
                        std::string_view option = "tensors") {
  Selection selection = select_none(graph);
  for (const std::string& pattern : patterns) {
    bool matched = false;
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      if (!matches_glob(pattern, graph.parameter(id).name)) continue;
      selection.insert(id);
      matched = true;
    }
    if (!matched) {
      throw ConfigError(
          "select_listed", option,
          text("expected names or globs of the model's tensors, got ", pattern, ", which matches none; e.g. ",
               graph.parameters().empty() ? "" : graph.parameters().front().name));
    }
  }
  return selection;
}

/// A selection without the parameters that any of the patterns matches, which stay frozen. Throws ConfigError for a
/// pattern that matches none of the graph's parameters, and where nothing would be left.
template <class P>
Selection without_frozen(const TensorGraph<P>& graph, const Selection& selection,
                         const std::vector<std::string>& patterns) {
  const Selection frozen = select_listed(graph, patterns, "freeze");
  std::vector<bool> left = selection.mask();
  for (std::size_t i = 0; i < left.size(); ++i) left[i] = left[i] && !frozen.mask()[i];
  Selection trained(std::move(left), selection.detached());
  if (trained.count() == 0 && selection.count() > 0) {
    throw ConfigError("without_frozen", "freeze",
                      text("expected patterns that leave something to train, got ones that match all of the ",
                           selection.count(), " tensors that would be trained"));
  }
  return trained;
}

template <class P>
std::vector<std::string> names_of(const TensorGraph<P>& graph, const Selection& selection) {
  std::vector<std::string> names;
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (selection.contains(id)) names.push_back(graph.parameter(id).name);
  }
  return names;
}

}  // namespace greentrainer
