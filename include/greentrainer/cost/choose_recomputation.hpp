#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <tuple>
#include <utility>
#include <vector>

#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/graph/cut.hpp"
#include "greentrainer/graph/memory_layout.hpp"
#include "greentrainer/graph/recomputation.hpp"

namespace greentrainer {

/// Which segments a pass drops and computes again, and the memory and cost that result.
struct Recomputation {
  std::vector<DroppedSegment> segments = {};
  Bytes activations = 0;  ///< values and their gradients, as laid out
  std::int64_t cost = 0;  ///< of what is computed again, in the cost model's unit
  bool optimal = false;   ///< proved: no other segments between the same cuts cost less and fit
};

/// Bytes of the storages of a pass that live at each of its `steps`, each rounded up as layouts do.
inline std::vector<Bytes> live_bytes(const Lifetimes& lifetimes, std::size_t steps, const Workload& workload,
                                     Bytes element_size) {
  std::vector<Bytes> live(steps + 1, 0);
  for (const auto& storage : lifetimes.storages) {
    const Bytes bytes = MemoryLayout::aligned(Lifetimes::elements(storage, workload) * element_size);
    live[static_cast<std::size_t>(storage.born)] += bytes;
    live[static_cast<std::size_t>(storage.dies) + 1] -= bytes;
  }
  for (std::size_t t = 1; t < live.size(); ++t) live[t] += live[t - 1];
  live.pop_back();
  return live;
}

/// Which segments between cuts of the residual stream a pass computes again, so that its activations fit into a limit
/// at the least cost. A segment is kept or dropped; those that are dropped may be as long as any number of cuts apart.
///
/// Where every cut is crossed by one value that nothing below reads in the backward pass, what a dropped segment spares
/// the segments above it and what it needs itself do not depend on the other segments. A shortest path with the spared
/// bytes as its resource is then the least cost for the bytes that live at once; a layout may need more than these, and
/// is tried for each candidate. Elsewhere (an encoder's output that crosses all cuts of the decoder) the same search
/// is a heuristic: what it finds fits, but is not said to be the best.
template <class P>
class RecomputationSearch {
 public:
  /// Of a plan that trains. O(cuts^2 * steps). `cost` prices what is computed again.
  template <CostModel<TensorGraph<P>> C>
  RecomputationSearch(const TensorGraph<P>& graph, PassPlan plan, const Workload& workload, const C& cost,
                      Bytes element_size)
      : graph_(&graph), plan_(std::move(plan)), workload_(workload), element_size_(element_size) {
    find_bounds();
    const Lifetimes lifetimes = make_lifetimes(graph, plan_);
    const std::vector<Bytes> plain = live(plan_, lifetimes);
    plain_total_ = make_memory_layout(lifetimes, workload, element_size).total;
    pieces_.resize(bounds_.size() - 1);
    for (std::size_t from = 0; from + 1 < bounds_.size(); ++from) {
      pieces_[from].push_back({.to = from + 1, .peak = peak_of(plan_, plain, from, from + 1)});
      if (from + 2 == bounds_.size()) break;  // what lies above the last cut is kept: its backward pass comes first
      for (std::size_t to = from + 1; to + 1 < bounds_.size(); ++to) add_dropped(from, to, plain, cost);
    }
  }

  /// The segments that cost least of those whose activations take at most `limit` bytes; nothing where none is found.
  /// Deterministic.
  std::optional<Recomputation> choose(Bytes limit) const {
    if (plain_total_ <= limit) return Recomputation{.activations = plain_total_, .optimal = true};
    auto [found, complete] = find(limit);
    if (!found && !complete) {
      Recomputation smallest = least_memory();
      if (smallest.activations <= limit) found = std::move(smallest);
    }
    if (found) found->optimal = is_chain_ && complete;
    return found;
  }

  /// The segments with which a pass takes the fewest bytes.
  Recomputation least_memory() const {
    Bytes low = 0, high = plain_total_;  // (low, high]: `high` is enough for what lives at once
    while (high - low > MemoryLayout::alignment) {
      const Bytes middle = low + (high - low) / 2;
      (least(completions_within(middle)[0], 0) ? high : low) = middle;
    }
    Recomputation best{.activations = plain_total_};
    if (auto first = path(completions_within(high)); first && first->activations < best.activations)
      best = std::move(*first);
    for (int round = 0; round < most_rounds; ++round) {
      auto better = find(best.activations - 1).first;
      if (!better) break;
      best = std::move(*better);
    }
    return best;
  }

  /// The pass with these segments dropped.
  PassPlan plan(const Recomputation& choice) const { return with_recomputation(*graph_, plan_, choice.segments); }

  /// Whether costs and bytes of segments add up, so that choices can be proved optimal.
  bool is_chain() const { return is_chain_; }
  /// Cuts between which segments may lie.
  std::size_t cuts() const { return bounds_.size() - 2; }
  /// Of the plan without recomputation.
  Bytes plain_activations() const { return plain_total_; }

 private:
  /// A way from one bound to a later one: the operators between are kept, or dropped as one segment.
  struct Piece {
    std::size_t to = 0;
    bool dropped = false;
    Bytes spared = 0;  ///< while what lies above runs
    Bytes peak = 0;    ///< while it runs itself, forward or backward, with nothing below it dropped
    std::int64_t cost = 0;
  };
  /// A way to complete the choice from a bound upwards: the bytes that must be spared below it, and the cost of the
  /// rest. Ascending in `spared`, descending in `cost`; `piece` is the first of the way, `rest` the number of the
  /// completion that it goes on with.
  struct Completion {
    Bytes spared = 0;
    std::int64_t cost = 0;
    std::size_t piece = 0, rest = 0;
  };
  using Completions = std::vector<std::vector<Completion>>;

  static constexpr int most_rounds = 16;
  static constexpr std::size_t most_layouts = 500;  ///< that an enumeration tries
  static constexpr std::size_t most_bounds = 130;   ///< of a model with more cuts, every other, or third, ...

  /// The first operator that runs, the cuts above it, and the end.
  void find_bounds() {
    OperatorId first = plan_.steps.empty() ? 0 : plan_.steps.front().op;
    for (const auto& step : plan_.steps) first = std::min(first, step.op);
    bounds_ = {first};
    std::vector<Cut> cuts = narrow_cuts(*graph_);
    std::erase_if(cuts, [&](const Cut& cut) { return cut.op <= first; });
    const std::size_t stride = cuts.size() / most_bounds + 1;
    for (std::size_t c = 0; c < cuts.size(); ++c) {
      if (c % stride == 0) bounds_.push_back(cuts[c].op);
      const auto& value = graph_->value(cuts[c].values.front());
      is_chain_ = is_chain_ && cuts[c].values.size() == 1 && !read_below(cuts[c]) &&
                  (c == 0 || value.producer >= cuts[c - 1].op);
    }
    is_chain_ = is_chain_ && stride == 1;
    bounds_.push_back(static_cast<OperatorId>(graph_->operators().size()));
  }
  /// Whether a backward step below the cut reads what crosses it.
  bool read_below(const Cut& cut) const {
    return std::any_of(plan_.steps.begin(), plan_.steps.end(), [&](const PassPlan::Step& step) {
      if (!step.is_backward() || step.op >= cut.op) return false;
      const auto reads = [&](const std::vector<ValueId>& ids, BitSet set) {
        for (std::size_t i = 0; i < ids.size(); ++i) {
          if (((set >> i) & 1U) != 0 && ids[i] == cut.values.front()) return true;
        }
        return false;
      };
      return reads(graph_->op(step.op).inputs, step.inputs) || reads(graph_->op(step.op).outputs, step.outputs);
    });
  }

  std::vector<Bytes> live(const PassPlan& plan, const Lifetimes& lifetimes) const {
    return live_bytes(lifetimes, plan.steps.size(), workload_, element_size_);
  }
  Bytes peak_of(const PassPlan& plan, const std::vector<Bytes>& live, std::size_t from, std::size_t to) const {
    Bytes peak = 0;
    for (std::size_t t = 0; t < live.size(); ++t) {
      if (plan.steps[t].op >= bounds_[from] && plan.steps[t].op < bounds_[to]) peak = std::max(peak, live[t]);
    }
    return peak;
  }

  /// The choice that fits into a limit, if one was found, and whether it is proved the cheapest (where bytes and costs
  /// add up).
  std::pair<std::optional<Recomputation>, bool> find(Bytes limit) const {
    const Completions completions = completions_within(limit);
    const auto bound = least(completions[0], 0);
    if (!bound) return {std::nullopt, true};
    std::optional<Recomputation> best;
    Bytes tried = limit;  // a layout may waste some bytes: then fewer are to live at once
    for (int round = 0; round < most_rounds && !best; ++round) {
      auto found = path(completions_within(tried));
      if (!found) break;
      if (found->activations <= limit)
        best = std::move(found);
      else
        tried -= std::max<Bytes>(MemoryLayout::alignment, found->activations - limit);
    }
    if (best && best->cost == *bound) return {std::move(best), true};
    const bool complete = enumerate_below(limit, completions, best);
    return {std::move(best), complete};
  }

  /// The operators between two bounds as one dropped segment, unless it has no backward steps. One that spares nothing
  /// may still let the rest be laid out better.
  template <class C>
  void add_dropped(std::size_t from, std::size_t to, const std::vector<Bytes>& plain, const C& cost) {
    const PassPlan plan = with_recomputation(*graph_, plan_, {{bounds_[from], bounds_[to]}});
    const std::vector<Bytes> dropped = live(plan, make_lifetimes(*graph_, plan));
    const auto turn = static_cast<std::size_t>(plan_.turning_point());
    const Piece piece{.to = to,
                      .dropped = true,
                      .spared = plain[turn] - dropped[turn],
                      .peak = peak_of(plan, dropped, from, to),
                      .cost = evaluate(pass_cost(*graph_, plan, cost).recomputed, workload_)};
    if (plan.steps.size() > plan_.steps.size()) pieces_[from].push_back(piece);
  }

  /// The cheapest ways up from each bound, for all amounts that may have been spared below it.
  Completions completions_within(Bytes limit) const {
    Completions completions(bounds_.size());
    completions.back() = {{}};
    for (std::size_t from = pieces_.size(); from-- > 0;) {
      std::vector<Completion> all;
      for (std::size_t p = 0; p < pieces_[from].size(); ++p) {
        const Piece& piece = pieces_[from][p];
        const auto& rest = completions[piece.to];
        for (std::size_t r = 0; r < rest.size(); ++r)
          all.push_back({std::max({Bytes{0}, rest[r].spared - piece.spared, piece.peak - limit}),
                         rest[r].cost + piece.cost, p, r});
      }
      std::sort(all.begin(), all.end(), [](const Completion& a, const Completion& b) {
        return std::tie(a.spared, a.cost, a.piece, a.rest) < std::tie(b.spared, b.cost, b.piece, b.rest);
      });
      for (const Completion& one : all) {
        if (completions[from].empty() || one.cost < completions[from].back().cost) completions[from].push_back(one);
      }
    }
    return completions;
  }
  /// The least cost of the rest, if so many bytes have been spared.
  static std::optional<std::int64_t> least(const std::vector<Completion>& completions, Bytes spared) {
    const auto beyond =
        std::upper_bound(completions.begin(), completions.end(), spared,
                         [](Bytes amount, const Completion& completion) { return amount < completion.spared; });
    if (beyond == completions.begin()) return std::nullopt;
    return std::prev(beyond)->cost;
  }
  /// The cheapest way from the bottom to the top.
  std::optional<Recomputation> path(const Completions& completions) const {
    if (!least(completions[0], 0)) return std::nullopt;
    std::vector<DroppedSegment> segments;
    std::size_t number = 0;  // with nothing spared yet, there is one
    for (std::size_t at = 0; at < pieces_.size();) {
      const Completion& completion = completions[at][number];
      const Piece& piece = pieces_[at][completion.piece];
      if (piece.dropped) segments.push_back({bounds_[at], bounds_[piece.to]});
      number = completion.rest;
      at = piece.to;
    }
    return laid_out(std::move(segments), completions[0].front().cost);
  }
  Recomputation laid_out(std::vector<DroppedSegment> segments, std::int64_t cost) const {
    const PassPlan plan = with_recomputation(*graph_, plan_, segments);
    const Bytes total = make_memory_layout(make_lifetimes(*graph_, plan), workload_, element_size_).total;
    return {.segments = std::move(segments), .activations = total, .cost = cost};
  }

  /// A way from the bottom up to a bound.
  struct Partial {
    std::int64_t at_least = 0;  ///< cost of the whole way
    std::size_t number = 0;     ///< order of creation, which breaks ties
    std::size_t at = 0;
    Bytes spared = 0;
    std::int64_t cost = 0;
    std::vector<DroppedSegment> segments = {};

    friend bool operator>(const Partial& a, const Partial& b) {
      return std::tie(a.at_least, b.number) > std::tie(b.at_least, a.number);  // of equals the last: the longest
    }
  };
  /// Tries, in the order of their costs, the choices that may fit and cost less than `best`; the first that does is
  /// the better one. False where there are too many to try.
  bool enumerate_below(Bytes limit, const Completions& completions, std::optional<Recomputation>& best) const {
    std::priority_queue<Partial, std::vector<Partial>, std::greater<>> open;
    std::size_t made = 0, layouts = 0;
    open.push({.at_least = *least(completions[0], 0)});
    while (!open.empty()) {
      const Partial now = open.top();
      open.pop();
      if (best && now.at_least >= best->cost) return true;
      if (now.at == pieces_.size()) {
        Recomputation found = laid_out(now.segments, now.cost);
        if (found.activations <= limit) {
          best = std::move(found);
          return true;
        }
        if (++layouts == most_layouts) return false;
        continue;
      }
      for (const Piece& piece : pieces_[now.at]) {
        Partial next = now;
        next.at = piece.to;
        next.spared += piece.spared;
        next.cost += piece.cost;
        const auto rest = least(completions[piece.to], next.spared);
        if (!rest || piece.peak - now.spared > limit) continue;
        next.at_least = next.cost + *rest;
        if (best && next.at_least >= best->cost) continue;
        if (piece.dropped) next.segments.push_back({bounds_[now.at], bounds_[piece.to]});
        next.number = ++made;
        if (made > 100 * most_layouts) return false;
        open.push(std::move(next));
      }
    }
    return true;
  }

  const TensorGraph<P>* graph_;
  PassPlan plan_;
  Workload workload_;
  Bytes element_size_;
  Bytes plain_total_ = 0;
  bool is_chain_ = true;
  std::vector<OperatorId> bounds_;
  std::vector<std::vector<Piece>> pieces_;  ///< that begin at each bound
};

}  // namespace greentrainer
