#pragma once

#include <cstddef>
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
  bool waits_ = false;
};

}  // namespace greentrainer
