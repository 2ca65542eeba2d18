#pragma once

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace greentrainer {

/// Seconds by operator, summed over the passes that it was handed to.
class PassProfile {
 public:
  struct Seconds {
    double forward = 0;  ///< recomputation included
    double backward = 0;
  };

  /// Of the operator with this number in the graph.
  Seconds& of(std::size_t op) {
    if (op >= operators_.size()) operators_.resize(op + 1);
    return operators_[op];
  }
  /// Adds what one run of an operator took.
  void add(std::size_t op, const Seconds& seconds) {
    of(op).forward += seconds.forward;
    of(op).backward += seconds.backward;
    if (on_operator_) on_operator_(op, seconds.forward + seconds.backward);
  }
  /// Called after each run of an operator with its number and its seconds, in none of which the call is.
  void on_operator(std::function<void(std::size_t op, double seconds)> call) { on_operator_ = std::move(call); }

  const std::vector<Seconds>& operators() const { return operators_; }
  Seconds total() const {
    Seconds sum;
    for (const Seconds& s : operators_) {
      sum.forward += s.forward;
      sum.backward += s.backward;
    }
    return sum;
  }
  void reset() { operators_.clear(); }

  /// Whether each operator is waited for before the next is started, where a backend queues work: what an operator
  /// takes is then its own, and the pass slower. Otherwise the last operator of a phase is charged with what is queued.
  void wait_for_every_operator(bool on) { waits_ = on; }
  bool waits_for_every_operator() const { return waits_; }

 private:
  std::vector<Seconds> operators_;
  std::function<void(std::size_t, double)> on_operator_;
  bool waits_ = false;
};

}  // namespace greentrainer
