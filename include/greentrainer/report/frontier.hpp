#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/text.hpp"
#include "greentrainer/report/svg.hpp"

namespace greentrainer {

/// What a method scores and costs, as means over seeds.
struct ComparedMethod {
  std::string name = {};
  double cost = 0;
  double score = 0;
  std::optional<double> spread = {};  ///< of the score over seeds: sample standard deviation, where there are several
  bool is_control = false;            ///< a simple way to spend as much
};

/// Scores against costs: which methods nothing beats at their cost, and how the others compare with the controls.
class Frontier {
 public:
  /// Costs that differ by no more are held for the same: budgets are spent in whole steps.
  static constexpr double same_cost = 0.02;

  Frontier(std::vector<ComparedMethod> methods, bool lower_is_better)
      : methods_(std::move(methods)), lower_is_better_(lower_is_better) {}

  const std::vector<ComparedMethod>& methods() const { return methods_; }

  /// Whether no other method scores as well for less, or better for as much.
  bool lies_on_it(const ComparedMethod& m) const {
    for (const ComparedMethod& other : methods_) {
      if (other.cost <= m.cost && gain(other, m) >= 0 && (other.cost < m.cost || gain(other, m) > 0)) return false;
    }
    return true;
  }
  /// Those that lie on it, from the cheapest.
  std::vector<ComparedMethod> line() const {
    std::vector<ComparedMethod> on;
    for (const ComparedMethod& m : methods_) {
      if (lies_on_it(m)) on.push_back(m);
    }
    std::stable_sort(on.begin(), on.end(),
                     [](const ComparedMethod& a, const ComparedMethod& b) { return a.cost < b.cost; });
    return on;
  }
  /// The best of the controls that cost no more than a method.
  std::optional<ComparedMethod> best_control_beside(const ComparedMethod& m) const {
    std::optional<ComparedMethod> best;
    for (const ComparedMethod& other : methods_) {
      if (!other.is_control || other.cost > m.cost * (1 + same_cost)) continue;
      if (!best || gain(other, *best) > 0) best = other;
    }
    return best;
  }

  /// Sentences: who lies on it, and for every method that is no control, how the best control beside it does. Costs are
  /// told in `unit`, of which one is `unit_size`.
  std::vector<std::string> words(const std::string& score, double unit_size, const std::string& unit) const {
    std::vector<std::string> sentences;
    if (methods_.empty()) return sentences;
    std::string names;
    for (const ComparedMethod& m : line()) names += (names.empty() ? "" : "; ") + m.name;
    sentences.push_back(
        text("No method has a better ", score, " for as few FLOPs as these, from the cheapest: ", names, "."));
    bool has_controls = false;
    for (const ComparedMethod& m : methods_) has_controls = has_controls || m.is_control;
    for (const ComparedMethod& m : methods_) {
      if (m.is_control || !has_controls) continue;
      const auto control = best_control_beside(m);
      if (!control) {
        sentences.push_back(text(m.name, " has no control beside it: all cost more."));
        continue;
      }
      const std::string numbers = text(": ", score, " ", number(*control), " against ", number(m), ", for ",
                                       short_number(control->cost / unit_size), " against ",
                                       short_number(m.cost / unit_size), " ", unit, reservation(*control, m), ".");
      const double ahead = gain(*control, m);
      sentences.push_back(ahead > 0    ? text(m.name, " is beaten by the control ", control->name, numbers)
                          : ahead == 0 ? text(m.name, " is level with the control ", control->name, numbers)
                                       : text(m.name, " beats the controls that cost no more, the best of which is ",
                                              control->name, numbers));
    }
    return sentences;
  }

 private:
  /// By how much a scores better than b.
  double gain(const ComparedMethod& a, const ComparedMethod& b) const {
    return lower_is_better_ ? b.score - a.score : a.score - b.score;
  }
  static std::string number(const ComparedMethod& m) {
    return short_number(m.score, 4) + (m.spread ? " ± " + short_number(*m.spread, 2) : "");
  }
  std::string reservation(const ComparedMethod& a, const ComparedMethod& b) const {
    if (!a.spread || !b.spread) return "; one seed, so that the spread is not known";
    return std::abs(gain(a, b)) > std::hypot(*a.spread, *b.spread) ? "" : "; within the spread over seeds";
  }

  std::vector<ComparedMethod> methods_;
  bool lower_is_better_;
};

}  // namespace greentrainer
