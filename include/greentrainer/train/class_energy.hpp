#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "greentrainer/io/energy_meter.hpp"

namespace greentrainer {

/// Watts by class of what computes (class_of), from a counter that is read after each operator. Counters change now and
/// then: what is shorter than five of these intervals has energy of its neighbours in it and is left out, and a class
/// has watts from 50 ms and 20 intervals on.
class ClassEnergy {
 public:
  /// `interval`: seconds between two changes of the counter.
  ClassEnergy(EnergyReading reading, double interval) : reading_(std::move(reading)), interval_(interval) {}

  /// What was taken until now belongs to nothing.
  void begin() { last_ = reading_(); }
  /// What was taken since the last call belongs to this class, which computed for so many seconds.
  void add(std::string_view work, double seconds) {
    const std::optional<double> before = std::exchange(last_, reading_());
    if (!before || !last_ || seconds < 5 * interval_) return;
    Sum& sum = sums_[std::string(work)];
    sum.joules += *last_ - *before;
    sum.seconds += seconds;
  }

  /// Seconds from which on a class has watts.
  double enough() const { return std::max(0.05, 20 * interval_); }
  /// Whether more of the same gives watts to a class that has none yet.
  bool wants_more() const {
    return std::ranges::any_of(sums_, [&](const auto& one) { return one.second.seconds < enough(); });
  }
  std::map<std::string, double, std::less<>> watts() const {
    std::map<std::string, double, std::less<>> watts;
    for (const auto& [work, sum] : sums_) {
      if (sum.seconds >= enough() && sum.joules > 0) watts[work] = sum.joules / sum.seconds;
    }
    return watts;
  }

 private:
  struct Sum {
    double joules = 0, seconds = 0;
  };

  EnergyReading reading_;
  double interval_;
  std::optional<double> last_;
  std::map<std::string, Sum, std::less<>> sums_;
};

}  // namespace greentrainer
