#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer::select_detail {

/// The best selection at exact costs, by dynamic programming over lists along a diagram (Nemhauser and Ullmann 1969):
/// each vertex has the pairs of cost and importance that can have been collected on the way there, less those that
/// another pair beats. What keeps the lists short is a Lagrangian bound on what can still be collected: pairs that
/// cannot reach a target are dropped. It is searched for each vertex where a selection can end by itself, since the
/// bound on all together is loose: it mixes short and long ways. The target starts just below the bound and falls until
/// a selection is found or everything above the incumbent has been looked at.
///
/// `Search`, which derives from it, knows the diagram. It offers collect(multiplier, last, collected): the most that
/// can have been collected at each vertex up to `last`, at a price of `multiplier` for a unit of cost; spread_rest():
/// fills `rest_`, whose last entry is given; and run(last): looks for the best selection above `target_` that ends at
/// `last`, and hands it to keep(); false if cut off. Its constructor sets `budget_`, `total_`, `highest_` and `terms_`,
/// and calls bound_ends() with the vertices where selections can end.
template <class Search>
class EndSearch {
 public:
  /// Looks for a selection worth more than `incumbent`, the worth of one that there is; true if there is one, then
  /// chosen() is it. Gives up when its lists have had `max_pairs` pairs. Called again with more, it goes on where it
  /// was.
  bool improve(double incumbent, std::size_t max_pairs) {
    pairs_left_ = std::min(max_pairs, most_pairs);
    value_ = incumbent;
    bool better = false;
    while (!ends_.empty() && ends_.front().bound > enough()) {
      std::pop_heap(ends_.begin(), ends_.end(), End::worth_less);
      End& end = ends_.back();
      if (!end.tight) {
        tighten(end);
      } else {
        const double before = value_;
        const bool done = search(end);
        better = better || value_ > before;
        if (!done) {
          std::push_heap(ends_.begin(), ends_.end(), End::worth_less);
          return better;
        }
      }
      std::push_heap(ends_.begin(), ends_.end(), End::worth_less);
    }
    complete_ = true;
    return better;
  }

  /// Whether improve() looked at everything, so that the better of its incumbent and its result is optimal.
  bool complete() const { return complete_; }
  /// No selection is worth more than this or the incumbent, whichever is more.
  double bound() const { return ends_.front().bound; }

 protected:
  static constexpr double nothing = -std::numeric_limits<double>::infinity();
  static constexpr std::size_t multiplier_count = 8;
  static constexpr std::size_t most_pairs = std::numeric_limits<std::uint32_t>::max() / 2;  // Taken has 32 bits
  using PerMultiplier = std::array<double, multiplier_count>;

  /// A vertex where selections can end, and what none of these is worth more than.
  struct End {
    int vertex = 0;
    double bound = 0;
    double multiplier = 0;  ///< that gives the bound
    bool tight = false;     ///< whether the bound is by a multiplier of its own

    static bool worth_less(const End& a, const End& b) { return a.bound < b.bound; }
  };
  /// A selection priced at a multiplier: `value` is its importance less the multiplier times its cost.
  struct Line {
    double value = 0;
    double cost = 0;
  };
  struct Pair {
    std::int64_t cost = 0;
    double importance = 0;
    std::uint32_t taken = 0;  ///< last of the items, see Taken
  };
  struct Taken {
    std::uint32_t before = 0;  ///< 0: none
    int item = 0;
  };

  /// Bounds selections by where they end: first with the multipliers that bound all of them together. `vertices`
  /// ascend.
  void bound_ends(const std::vector<int>& vertices) {
    for (const int v : vertices) ends_.push_back({v, total_});
    best_multiplier(
        ends_.back().vertex,
        [&](const std::vector<Line>& collected) {
          Line best{nothing, 0};
          for (const End& end : ends_) {
            const Line& line = collected[static_cast<std::size_t>(end.vertex)];
            if (line.value > best.value) best = line;
          }
          return best;
        },
        [&](double tried, const std::vector<Line>& collected) {
          for (End& end : ends_)
            end.bound = std::min(end.bound, bound_by(tried, collected[static_cast<std::size_t>(end.vertex)]));
        });
    std::make_heap(ends_.begin(), ends_.end(), End::worth_less);
  }

  bool reaches(const Pair& pair, const PerMultiplier& rest) const {
    const auto room = static_cast<double>(budget_ - pair.cost);
    const double wanted = target_ - rounding_ - pair.importance;
    bool reached = true;
    for (std::size_t m = 0; m < multiplier_count; ++m) reached = reached && rest[m] + multipliers_[m] * room >= wanted;
    return reached;
  }

  /// Merges `list` with itself moved by an item or an edge's cost; both ascend in cost and importance, and so does the
  /// result.
  void merge(const std::vector<Pair>& stay, const std::vector<Pair>& move, std::int64_t cost, double importance,
             const PerMultiplier& rest, std::vector<Pair>& into, int item) {
    into.clear();
    const auto offer = [&](const Pair& pair) {
      if (!into.empty() && pair.importance <= into.back().importance) return false;
      if (!reaches(pair, rest)) return false;
      if (!into.empty() && into.back().cost == pair.cost) into.pop_back();
      into.push_back(pair);
      return true;
    };
    std::size_t s = 0, m = 0;
    while (s < stay.size() || m < move.size()) {
      if (m < move.size() && move[m].cost > budget_ - cost) {
        m = move.size();
        continue;
      }
      if (m == move.size() || (s < stay.size() && stay[s].cost <= move[m].cost + cost)) {
        offer(stay[s++]);
        continue;
      }
      Pair moved{move[m].cost + cost, move[m].importance + importance, move[m].taken};
      ++m;
      if (item < 0) {
        offer(moved);
        continue;
      }
      moved.taken = static_cast<std::uint32_t>(taken_.size());
      if (offer(moved)) taken_.push_back({move[m - 1].taken, item});
    }
  }

  bool spend(std::size_t pairs) {
    if (pairs > pairs_left_) return false;
    pairs_left_ -= pairs;
    return true;
  }

  /// Takes the last of a list, if it is above the target, as the best selection so far.
  void keep(const std::vector<Pair>& found) {
    if (found.empty() || found.back().importance <= target_) return;
    value_ = found.back().importance;
    chosen_.clear();
    for (std::uint32_t t = found.back().taken; t != 0; t = taken_[t].before) chosen_.push_back(taken_[t].item);
  }

  std::int64_t budget_ = 0;
  double total_ = 0;    // no selection is worth more
  double highest_ = 0;  // importance of anything for a unit of its cost
  double terms_ = 0;    // of sums, for their rounding
  PerMultiplier multipliers_ = {};
  std::vector<PerMultiplier> rest_;  // for each vertex; nothing if it does not lead to the end
  double rounding_ = 0;              // at these
  double target_ = 0;
  std::vector<Taken> taken_;
  std::vector<int> chosen_;

 private:
  const Search& self() const { return static_cast<const Search&>(*this); }
  Search& self() { return static_cast<Search&>(*this); }

  /// By how much sums of importances and prices can be off for their last digits.
  double rounding_at(double multiplier) const {
    return std::numeric_limits<double>::epsilon() * terms_ * (total_ + multiplier * static_cast<double>(budget_));
  }

  double bound_by(double multiplier, const Line& best) const {
    return multiplier * static_cast<double>(budget_) + best.value + rounding_at(multiplier);
  }

  /// The multiplier that bounds best what ends at a vertex that `pick` chooses among what was collected up to `last`;
  /// each that is tried is given to `see` with its bounds. A bound is convex and piecewise linear in the multiplier:
  /// two selections' lines meet where a better one may be (Handler and Zang 1980).
  template <class Pick, class See>
  double best_multiplier(int last, Pick pick, See see) const {
    const auto budget = static_cast<double>(budget_);
    std::vector<Line> collected;
    double best = std::numeric_limits<double>::infinity(), multiplier = 0;
    const auto at = [&](double tried) {
      self().collect(tried, last, collected);
      see(tried, collected);
      const Line line = pick(collected);
      if (tried * budget + line.value < best) {
        best = tried * budget + line.value;
        multiplier = tried;
      }
      return line;
    };
    double low = 0, high = highest_;
    Line over = at(low);
    if (over.cost <= budget) return multiplier;
    Line under = at(high);
    constexpr int rounds = 100;
    for (int round = 0; round < rounds && under.cost < over.cost; ++round) {
      const double importance_over = over.value + low * over.cost, importance_under = under.value + high * under.cost;
      const double middle = (importance_over - importance_under) / (over.cost - under.cost);
      if (!(middle > low && middle < high)) break;
      const Line line = at(middle);
      (line.cost > budget ? over : under) = line;
      (line.cost > budget ? low : high) = middle;
    }
    return multiplier;
  }

  /// Bounds selections that end at `end` by a multiplier of their own.
  void tighten(End& end) const {
    const auto of_end = [&](const std::vector<Line>& collected) {
      return collected[static_cast<std::size_t>(end.vertex)];
    };
    end.multiplier = best_multiplier(end.vertex, of_end, [&](double tried, const std::vector<Line>& collected) {
      end.bound = std::min(end.bound, bound_by(tried, of_end(collected)));
    });
    end.tight = true;
  }

  /// Looks for a selection that ends at `end` and is worth more than what there is; false if cut off. Nothing that ends
  /// there is worth more than end.bound, or `value_` if that is more, afterwards.
  bool search(End& end) {
    find_rest(end);
    // A first guess of how far the best selection lies below the bound; wrong ones cost a fraction of the next.
    double below = std::max((end.bound - enough()) / 64, std::numeric_limits<double>::min());
    for (bool found = false; !found && end.bound > enough(); below *= 4) {
      target_ = std::max(enough(), end.bound - below);
      const double target = target_;
      if (!self().run(end.vertex)) return false;
      found = value_ > target;
      end.bound = found ? value_ : target;
    }
    return true;
  }

  /// The best that can be collected from each vertex on by selections that end at `end`, at several multipliers around
  /// the one that bounds them best.
  void find_rest(const End& end) {
    constexpr PerMultiplier factors = {1, 0.97, 1.03, 0.9, 1.1, 0.75, 1.35, 2};
    for (std::size_t m = 0; m < multiplier_count; ++m) multipliers_[m] = end.multiplier * factors[m];
    rounding_ = rounding_at(multipliers_.back());
    PerMultiplier none;
    none.fill(nothing);
    rest_.assign(static_cast<std::size_t>(end.vertex) + 1, none);
    rest_.back() = {};
    self().spread_rest();
  }

  double enough() const { return value_ * (1 + importance_tolerance); }

  std::size_t pairs_left_ = 0;
  std::vector<End> ends_;  // a heap, the greatest bound first
  double value_ = 0;       // of the best selection so far
  bool complete_ = false;
};

}  // namespace greentrainer::select_detail
