#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/concepts/backend.hpp"
#include "greentrainer/core/workload.hpp"
#include "greentrainer/ops/calls.hpp"

namespace greentrainer {

/// What the rows of a value are.
enum class Rows {
  decoder_tokens,
  labelled_tokens,
  encoder_tokens,
  context_tokens,  ///< the decoder's that are not labelled
};

/// As the enumerator is called.
constexpr std::string_view name_of(Rows rows) {
  switch (rows) {
    case Rows::decoder_tokens: return "decoder_tokens";
    case Rows::labelled_tokens: return "labelled_tokens";
    case Rows::encoder_tokens: return "encoder_tokens";
    case Rows::context_tokens: return "context_tokens";
  }
  return "";
}

constexpr Measure measure_of(Rows rows) {
  switch (rows) {
    case Rows::decoder_tokens: return Measure::decoder_tokens;
    case Rows::labelled_tokens: return Measure::labelled_tokens;
    case Rows::encoder_tokens: return Measure::encoder_tokens;
    case Rows::context_tokens: return Measure::context_tokens;
  }
  return Measure::steps;
}

/// Counts the sequences that rows of a kind belong to.
constexpr Measure sequences_of(Rows rows) {
  return rows == Rows::encoder_tokens ? Measure::encoder_sequences : Measure::decoder_sequences;
}

inline const DeviceTokens& tokens_of(const DeviceBatch& batch, Rows rows) {
  switch (rows) {
    case Rows::labelled_tokens: return batch.labelled;
    case Rows::encoder_tokens: return batch.encoder;
    case Rows::context_tokens: return batch.context;
    default: return batch.decoder;
  }
}

/// Where rows of a kind stand among the decoder's, in the backend's memory; null for all of them.
inline const Index* places_of(const DeviceBatch& batch, Rows rows) {
  switch (rows) {
    case Rows::labelled_tokens: return batch.label_rows;
    case Rows::context_tokens: return batch.context_rows;
    default: return nullptr;
  }
}

/// `amount` for every row.
inline LinearCost per(Rows rows, std::int64_t amount) { return per(measure_of(rows), amount); }

/// Shape of a value: as many rows as the batch has of that kind, and a fixed width.
struct ValueShape {
  Rows rows = Rows::decoder_tokens;
  Extent cols = 0;
  bool differentiable = true;  ///< false for constants, and for statistics that only the operator's own gradient reads
  Extent prefix = 0;           ///< rows in front of those of each sequence

  Extent row_count(const Workload& workload) const {
    return workload[measure_of(rows)] + prefix * workload[sequences_of(rows)];
  }

  friend bool operator==(const ValueShape&, const ValueShape&) = default;
};

using ParameterShape = std::vector<Extent>;

/// A set of small numbers: parts, inputs or outputs of one operator.
using BitSet = std::uint32_t;
constexpr BitSet bit(int i) { return BitSet{1} << i; }

/// One piece of an operator's backward pass that can be left out on its own: an input's gradient, a parameter's, or
/// something that several of them share. All parts read grad_output; `after` are the sibling parts they need as well,
/// which come before them in parts(). An input without a part gets no gradient; every parameter has one.
struct GradPart {
  enum class Kind { shared, input, parameter };

  std::string_view name = {};
  Kind kind = Kind::shared;
  int index = 0;  ///< of the input or parameter
  BitSet after = 0;
  BitSet keeps_inputs = 0;  ///< forward values that this part reads
  BitSet keeps_outputs = 0;
  bool passes = false;    ///< the gradient is grad_output itself: nothing is computed, the memory is shared
  bool in_place = false;  ///< may be written over grad_output
  bool adds = false;      ///< can be added to what other users of the input have contributed
};

/// An operator of a graph, type-erased: structure and costs for every policy P, and kernels where P is a Backend.
template <class P>
class AnyOperator {
 public:
  virtual ~AnyOperator() = default;

  virtual std::string_view kind() const = 0;
  virtual std::vector<ValueShape> input_shapes() const = 0;
  virtual std::vector<ValueShape> output_shapes() const = 0;
  virtual std::vector<ParameterShape> parameter_shapes() const = 0;
  virtual const std::vector<GradPart>& parts() const = 0;

  virtual LinearCost forward_cost() const = 0;
  /// FLOPs of one part; `write` says whether an input's gradient is added to what other operators contributed before.
  virtual LinearCost part_cost(int part, Write write) const = 0;
  /// The input that the first output may be written over, or -1.
  virtual int in_place_input() const = 0;
  /// The inputs of which it reads, for a row, those of earlier rows too: what a cache keeps while text is generated.
  /// All else is done row by row.
  virtual BitSet remembered_inputs() const = 0;
  /// The same operator where only these of the decoder's rows are computed, or null where it needs all.
  virtual std::shared_ptr<const AnyOperator<P>> on_rows(Rows rows) const = 0;
  /// The inputs of which on_rows() reads just the rows that it computes. It reads the others as a whole.
  virtual BitSet row_inputs() const = 0;
  /// Computes the loss: has no differentiable output, and its backward does the forward's work too. Either adds to
  /// LossTarget::loss_sum, fills row_losses and logits where they are asked for, and scales gradients by `scale`; where
  /// DeviceBatch::labels is null there is no loss.
  virtual bool is_loss() const = 0;
  /// Its outputs change from training pass to training pass for the same inputs: it draws random numbers.
  virtual bool is_random() const = 0;
  /// Parameters that it reads in whatever storage format they lie in: by products and lookups alone.
  virtual BitSet any_format() const = 0;
  /// Scratch elements that forward or backward needs.
  virtual Extent workspace(const Workload& workload) const = 0;

  virtual void forward(ForwardCall<P>& call) const = 0;
  virtual void backward(BackwardCall<P>& call) const = 0;
};

/// Wraps an operator file's struct. What such a struct must have is what is called here; `in_place_input`,
/// `remembered_inputs`, `is_loss`, `is_random`, `any_format` and `workspace` may be left out. An operator that works
/// row by row says `row_by_row` and has a member `rows`; one that does so in part has `on_rows` and `row_inputs`.
template <class Op, class P>
class ErasedOperator final : public AnyOperator<P> {
  // A member that may be left out would be passed over in silence if it were not const.
  static_assert(
      !requires(Op op, const Workload& w) { op.workspace(w); } ||
          requires(const Op op, const Workload& w) { op.workspace(w); },
      "workspace(const Workload&) must be const");
  static_assert(
      !requires(Op op) { op.in_place_input(); } || requires(const Op op) { op.in_place_input(); },
      "in_place_input() must be const");
  static_assert(
      !requires(Op op) { op.remembered_inputs(); } || requires(const Op op) { op.remembered_inputs(); },
      "remembered_inputs() must be const");
  static_assert(
      !requires(Op op, Rows rows) { op.on_rows(rows); } ||
          requires(const Op op, Rows rows) {
            op.on_rows(rows);
            op.row_inputs();
          },
      "on_rows(Rows) must be const, and row_inputs() beside it");

 public:
  explicit ErasedOperator(Op op) : op_(std::move(op)), parts_(op_.parts()) {}

  const Op& op() const { return op_; }

  std::string_view kind() const override { return Op::kind; }
  std::vector<ValueShape> input_shapes() const override { return op_.input_shapes(); }
  std::vector<ValueShape> output_shapes() const override { return op_.output_shapes(); }
  std::vector<ParameterShape> parameter_shapes() const override { return op_.parameter_shapes(); }
  const std::vector<GradPart>& parts() const override { return parts_; }

  LinearCost forward_cost() const override { return op_.forward_cost(); }
  LinearCost part_cost(int part, Write write) const override { return op_.part_cost(part, write); }
  int in_place_input() const override {
    if constexpr (requires { op_.in_place_input(); }) return op_.in_place_input();
    return -1;
  }
  BitSet remembered_inputs() const override {
    if constexpr (requires { op_.remembered_inputs(); }) return op_.remembered_inputs();
    return 0;
  }
  std::shared_ptr<const AnyOperator<P>> on_rows([[maybe_unused]] Rows rows) const override {
    if constexpr (requires { op_.on_rows(rows); }) {
      return std::make_shared<ErasedOperator>(op_.on_rows(rows));
    } else if constexpr (requires { Op::row_by_row; }) {
      Op other = op_;
      other.rows = rows;
      return std::make_shared<ErasedOperator>(std::move(other));
    } else {
      return nullptr;
    }
  }
  BitSet row_inputs() const override {
    if constexpr (requires { op_.row_inputs(); }) return op_.row_inputs();
    return ~BitSet{0};
  }
  bool is_loss() const override {
    if constexpr (requires { Op::is_loss; }) return Op::is_loss;
    return false;
  }
  bool is_random() const override {
    if constexpr (requires { Op::is_random; }) return Op::is_random;
    return false;
  }
  BitSet any_format() const override {
    if constexpr (requires { Op::any_format; }) return Op::any_format;
    return 0;
  }
  Extent workspace(const Workload& workload) const override {
    if constexpr (requires { op_.workspace(workload); }) return op_.workspace(workload);
    return 0;
  }

  void forward(ForwardCall<P>& call) const override {
    if constexpr (Backend<P>)
      op_.forward(call);
    else
      throw ConfigError("forward", Op::kind, "expected a backend that computes, got a cost policy");
  }
  void backward(BackwardCall<P>& call) const override {
    if constexpr (Backend<P>)
      op_.backward(call);
    else
      throw ConfigError("backward", Op::kind, "expected a backend that computes, got a cost policy");
  }

 private:
  Op op_;
  std::vector<GradPart> parts_;
};

}  // namespace greentrainer
