#pragma once

#include <cstdint>
#include <span>

#include "greentrainer/concepts/backend.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"
#include "greentrainer/core/stored_matrix.hpp"

namespace greentrainer {

/// One sequence of a batch, on the host.
struct SequenceExtent {
  Extent rows = 0;    ///< its rows among some of the batch's tokens
  Extent length = 0;  ///< all of its tokens, those in front of the rows, in a prefix or a cache, among them
};

/// A batch as kernels read it: index arrays in the backend's memory, counts on the host.
struct DeviceTokens {
  const Index* ids = nullptr;
  const Index* positions = nullptr;
  SequenceView sequences = {};
  SequenceView
      keys;  ///< what attention to these tokens reads: `sequences`, or with rows of a prefix or a cache in front
  Extent tokens = 0;
  std::span<const Index> offsets = {};  ///< of the sequences, on the host: for operators that treat whole ones; those
                                        ///< of the labelled tokens are not there
  std::span<const SequenceExtent> extents = {};  ///< of each sequence, in the rows' order
  Extent prefix = 0;  ///< learned rows that stand in front of each sequence's keys and values
};

struct DeviceBatch {
  DeviceTokens decoder = {};
  DeviceTokens encoder = {};
  DeviceTokens labelled = {};           ///< those of the decoder's tokens whose outputs are read
  const Index* label_rows = nullptr;    ///< where they stand among the decoder's
  DeviceTokens context = {};            ///< the decoder's other tokens, for a graph that treats them apart
  const Index* context_rows = nullptr;  ///< where these stand
  const Index* labels = nullptr;        ///< null: there is no loss, the head gives logits alone
};

/// The numbers of a batch, in the backend's memory. Empty where it has none.
template <class T>
struct DeviceNumbers {
  Matrix<const T> features = {};  ///< (decoder tokens, features)
  Matrix<const T> targets = {};   ///< (labelled tokens, outputs)
};

/// What the masks of a training pass's dropouts follow from, beside the operator's name and the element.
struct DropoutSeed {
  std::uint64_t seed = 0;
  std::uint64_t pass = 0;
};

/// What the loss operator adds to and takes from the outside.
template <class T>
struct LossTarget {
  double* loss_sum = nullptr;  ///< in the backend's memory: the sum of the labelled rows' losses is added to it
  T* row_losses = nullptr;     ///< one for each label row, or null
  double scale = 1;            ///< of the gradient: 1 / labelled tokens of the global batch
  Matrix<T> logits = {};       ///< (labelled rows, vocabulary) to be filled, or empty
  double forward_seconds = 0;  ///< out: how much of a backward call was the forward's work
  /// Out, added to: FLOPs executed beyond the price, where that is an average; less than 0 for fewer.
  Flops flops_beyond_plan = 0;
};

/// Element type of a policy: its Scalar, or float for a policy that only knows costs.
template <class P>
struct ScalarOf {
  using type = float;
};
template <class P>
requires requires { typename P::Scalar; }
struct ScalarOf<P> {
  using type = typename P::Scalar;
};

/// What an operator's forward pass sees: its own inputs, outputs and parameters by position.
template <class P>
struct ForwardCall {
  using T = typename ScalarOf<P>::type;

  P& backend;
  const DeviceBatch& batch;
  LossTarget<T>& loss;
  std::span<const Matrix<T>> inputs = {};
  std::span<const Matrix<T>> outputs = {};
  std::span<const Weight<T>> parameters = {};
  T* workspace = nullptr;
  const DropoutSeed* dropout = nullptr;    ///< null: nothing is dropped
  std::span<const Matrix<T>> caches = {};  ///< of the inputs that the operator remembers; empty where there is no cache
  DeviceNumbers<T> numbers = {};

  Matrix<const T> input(int i) const { return inputs[static_cast<std::size_t>(i)]; }
  /// An input that the operator remembers, with its rows of earlier tokens: as batch.decoder.keys lays them out.
  Matrix<const T> remembered(int i) const { return caches.empty() ? input(i) : caches[static_cast<std::size_t>(i)]; }
  Matrix<T> output(int i) const { return outputs[static_cast<std::size_t>(i)]; }
  Matrix<const T> parameter(int i) const { return parameters[static_cast<std::size_t>(i)].elements; }
  /// One that the operator takes in any storage format.
  Weight<T> weight(int i) const { return parameters[static_cast<std::size_t>(i)]; }
};

/// What its backward pass sees. Matrices that no wanted part reads or writes are empty.
template <class P>
struct BackwardCall {
  using T = typename ScalarOf<P>::type;

  P& backend;
  const DeviceBatch& batch;
  LossTarget<T>& loss;
  std::uint32_t parts = 0;  ///< bit p: part p is wanted
  std::span<const Matrix<T>> inputs = {};
  std::span<const Matrix<T>> outputs = {};
  std::span<const Weight<T>> parameters = {};
  std::span<const Matrix<T>> grad_outputs = {};
  std::span<const Matrix<T>> grad_inputs = {};
  std::span<const Write> writes = {};               ///< of the gradients of inputs
  std::span<const Matrix<T>> grad_parameters = {};  ///< always added to
  T* workspace = nullptr;
  const DropoutSeed* dropout = nullptr;  ///< that of the forward pass
  DeviceNumbers<T> numbers = {};

  bool wants(int part) const { return ((parts >> part) & 1U) != 0; }
  Matrix<const T> input(int i) const { return inputs[static_cast<std::size_t>(i)]; }
  Matrix<const T> output(int i) const { return outputs[static_cast<std::size_t>(i)]; }
  Matrix<const T> parameter(int i) const { return parameters[static_cast<std::size_t>(i)].elements; }
  /// One that the operator takes in any storage format.
  Weight<T> weight(int i) const { return parameters[static_cast<std::size_t>(i)]; }
  Matrix<const T> grad_output(int i = 0) const { return grad_outputs[static_cast<std::size_t>(i)]; }
  Matrix<T> grad_input(int i) const { return grad_inputs[static_cast<std::size_t>(i)]; }
  Write write(int i) const { return writes[static_cast<std::size_t>(i)]; }
  Matrix<T> grad_parameter(int i) const { return grad_parameters[static_cast<std::size_t>(i)]; }
};

/// y = x op(weight), or y += that, whatever the weight lies in.
template <class B>
void matmul(B& backend, Matrix<const typename B::Scalar> x, Transpose transpose_x,
            const Weight<typename B::Scalar>& weight, Transpose transpose_weight, Matrix<typename B::Scalar> y,
            Write write) {
  if constexpr (ReadsStoredWeights<B>) {
    if (weight.is_stored()) return backend.matmul(x, transpose_x, weight.stored, transpose_weight, y, write);
  }
  backend.matmul(x, transpose_x, weight.elements, transpose_weight, y, write);
}
/// y[r] = table[index[r]].
template <class B>
void embedding_forward(B& backend, const Weight<typename B::Scalar>& table, const Index* index,
                       Matrix<typename B::Scalar> y) {
  if constexpr (ReadsStoredWeights<B>) {
    if (table.is_stored()) return backend.embedding_forward(table.stored, index, y);
  }
  backend.embedding_forward(table.elements, index, y);
}

}  // namespace greentrainer
