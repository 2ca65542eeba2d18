#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/graph/pass_plan.hpp"
#include "greentrainer/ops/add.hpp"
#include "greentrainer/ops/gather_labelled.hpp"

namespace greentrainer {

/// A branch f of a residual connection y = x + f(x).
struct ResidualBranch {
  using Entry = std::pair<OperatorId, int>;  ///< (operator, which of its inputs)

  std::string name;            ///< of the operator that adds it to the stream
  std::vector<Entry> entries;  ///< where it reads the residual stream, ascending
};

/// Finds the residual branches of a graph.
template <class P>
class BranchSearch {
 public:
  explicit BranchSearch(const TensorGraph<P>& graph)
      : graph_(graph),
        stream_of_(graph.values().size()),
        is_stream_(graph.values().size(), false),
        seen_by_(graph.values().size(), -1) {}

  std::vector<ResidualBranch> run() {
    for (OperatorId id = 0; id < static_cast<OperatorId>(graph_.operators().size()); ++id) {
      const auto& node = graph_.op(id);
      for (const ValueId output : node.outputs) stream(output) = output;
      if (node.op->kind() == GatherLabelled::kind) stream(node.outputs.front()) = stream(node.inputs.front());
      if (node.op->kind() == Add::kind && !is_residual(id, 0, 1)) is_residual(id, 1, 0);
    }
    for (ResidualBranch& branch : branches_) {
      std::erase_if(branch.entries,
                    [this](const Entry& entry) { return graph_.input_part(entry.first, entry.second) < 0; });
    }
    std::erase_if(branches_, [this](const ResidualBranch& branch) { return !may_be_detached(branch); });
    return std::move(branches_);
  }

 private:
  using Entry = ResidualBranch::Entry;

  /// The first value of the residual stream that a value lies on; itself where it lies on none.
  ValueId& stream(ValueId v) { return stream_of_[static_cast<std::size_t>(v)]; }

  /// Whether an Add adds, to the stream of one input, what the other was made of it; remembers the branch then.
  bool is_residual(OperatorId id, std::size_t stream_input, std::size_t branch_input) {
    const auto& node = graph_.op(id);
    const ValueId of = stream(node.inputs[stream_input]);
    std::vector<Entry> entries = entries_of(of, node.inputs[branch_input]);
    if (entries.empty()) return false;
    stream(node.outputs.front()) = of;
    is_stream_[static_cast<std::size_t>(of)] = true;
    remember(node.name, std::move(entries));
    return true;
  }

  /// Where what a value depends on reads the stream: the walk goes no further down there, nor at any other stream.
  std::vector<Entry> entries_of(ValueId of, ValueId branch) {
    const int walk = walks_++;
    std::vector<Entry> entries;
    std::vector<ValueId> open = {branch};
    if (stream(branch) == of) return entries;
    while (!open.empty()) {
      const OperatorId producer = graph_.value(open.back()).producer;
      open.pop_back();
      const auto& inputs = graph_.op(producer).inputs;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const ValueId read = inputs[i];
        if (stream(read) == of) {
          entries.emplace_back(producer, static_cast<int>(i));
        } else if (!is_stream_[static_cast<std::size_t>(stream(read))] &&
                   std::exchange(seen_by_[static_cast<std::size_t>(read)], walk) != walk) {
          open.push_back(read);
        }
      }
    }
    std::sort(entries.begin(), entries.end());
    entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
    return entries;
  }

  /// Branches that read the stream through the same operator, such as one norm for both of a parallel block, are one.
  void remember(const std::string& name, std::vector<Entry> entries) {
    for (ResidualBranch& other : branches_) {
      const bool shared = std::any_of(entries.begin(), entries.end(), [&](const Entry& entry) {
        return std::binary_search(other.entries.begin(), other.entries.end(), entry);
      });
      if (!shared) continue;
      std::vector<Entry> both;
      std::set_union(entries.begin(), entries.end(), other.entries.begin(), other.entries.end(),
                     std::back_inserter(both));
      other.entries = std::move(both);
      return;
    }
    branches_.push_back({name, std::move(entries)});
  }

  /// There are inputs with a gradient, none of which is the first to be written.
  bool may_be_detached(const ResidualBranch& branch) const {
    return !branch.entries.empty() &&
           std::none_of(branch.entries.begin(), branch.entries.end(), [this](const Entry& entry) {
             return graph_.contribution(entry.first, entry.second) == Write::overwrite;
           });
  }

  const TensorGraph<P>& graph_;
  std::vector<ValueId> stream_of_;  ///< of each value
  std::vector<bool> is_stream_;     ///< of each value: it is the first of a residual stream
  std::vector<int> seen_by_;        ///< of each value: the last walk that met it
  int walks_ = 0;
  std::vector<ResidualBranch> branches_;
};

/// The residual branches of a model that can pass the identity, in the order of the forward pass: what an Add adds to
/// the stream that it was made of. A branch reads other things too, such as an encoder's output, which are no entries
/// of it. Branches with an entry in common are one. Not among them is a branch that reads the stream last of all: its
/// gradient is the one that others are added to (the feed-forward branch of a parallel block with a norm of its own).
/// O(operators + values), and branches times branches.
template <class P>
std::vector<ResidualBranch> residual_branches(const TensorGraph<P>& graph) {
  return BranchSearch<P>(graph).run();
}

/// Lets a branch pass the identity: no gradient goes through it to the stream below, as PyTorch's f(x.detach()). Its
/// own parameters are trained as ever.
inline void detach(DetachedInputs& detached, const ResidualBranch& branch) {
  for (const auto& [op, input] : branch.entries) detached.insert(op, input);
}

}  // namespace greentrainer
