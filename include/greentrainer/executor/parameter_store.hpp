#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/graph/selection.hpp"
#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer {

/// The weights of a graph on a backend, by parameter number: as the backend's elements, or in the storage format that
/// the graph names, until they are to be trained.
template <Backend B>
class ParameterStore {
 public:
  using T = typename B::Scalar;

  /// A matrix in a storage format, with its memory.
  class Stored {
   public:
    Stored() = default;
    /// Of this format and shape, uninitialised.
    Stored(B& backend, StoredMatrix shape) : matrix_(shape), bytes_(backend, shape.rows, shape.row_bytes()) {
      matrix_.data = bytes_.data();
    }
    const StoredMatrix& matrix() const { return matrix_; }
    Tensor<B, std::byte>& bytes() { return bytes_; }
    const Tensor<B, std::byte>& bytes() const { return bytes_; }

   private:
    StoredMatrix matrix_;
    Tensor<B, std::byte> bytes_;
  };

  /// Allocates all parameters, uninitialised. Throws ConfigError for formats where the backend reads none.
  ParameterStore(B& backend, const TensorGraph<B>& graph) : backend_(&backend) {
    for (const Parameter& p : graph.parameters()) {
      if (p.format == nullptr) {
        entries_.push_back({.elements = Tensor<B>(backend, p.rows(), p.cols()), .stored = {}});
        continue;
      }
      if constexpr (!ReadsStoredWeights<B>) {
        throw ConfigError("ParameterStore", p.name,
                          text("expected a backend that reads weights stored as ", p.format->name, ", got ",
                               backend.name(), "; leave the weights in its own elements"));
      }
      entries_.push_back({.elements = {}, .stored = Stored(backend, {p.format, nullptr, p.rows(), p.cols()})});
    }
  }

  /// A parameter's elements. Throws ConfigError for one that is stored in a format.
  Tensor<B>& operator[](ParameterId id) {
    expect_elements(id);
    return at(id).elements;
  }
  const Tensor<B>& operator[](ParameterId id) const {
    expect_elements(id);
    return at(id).elements;
  }
  std::size_t size() const { return entries_.size(); }
  Bytes bytes() const {
    Bytes total = 0;
    for (const Entry& entry : entries_) total += entry.elements.bytes() + entry.stored.bytes().bytes();
    return total;
  }

  bool is_stored(ParameterId id) const { return static_cast<bool>(at(id).stored.matrix()); }

  /// A parameter as operators read it.
  Weight<T> weight(ParameterId id) const {
    return is_stored(id) ? Weight<T>(at(id).stored.matrix()) : Weight<T>(at(id).elements.matrix());
  }
  /// The bytes of one that is stored in a format, to be filled with whole blocks.
  Tensor<B, std::byte>& stored_bytes(ParameterId id) { return at(id).stored.bytes(); }
  /// Exchanges one that is stored in a format with one of the same shape.
  void exchange(ParameterId id, Stored& other) { std::swap(at(id).stored, other); }

  /// Calls use(some of its numbers, on the host), in order: as many whole rows as have at most so many elements, or
  /// one. No copy of the parameter is made.
  template <class Use>
  void for_values(ParameterId id, Extent most, const Use& use) const {
    const Weight<T> whole = weight(id);
    const Extent rows = is_stored(id) ? whole.stored.rows : whole.elements.rows;
    const Extent cols = is_stored(id) ? whole.stored.cols : whole.elements.cols;
    const Extent at_once = std::max<Extent>(1, most / std::max<Extent>(1, cols));
    std::vector<T> host;
    Tensor<B> decoded;
    for (Extent first = 0; first < rows; first += at_once) {
      const Extent count = std::min(at_once, rows - first);
      const Weight<T> some = whole.rows_from(first, count);
      const T* data = some.elements.data;
      if constexpr (ReadsStoredWeights<B>) {
        if (some.is_stored()) {
          if (!decoded) decoded = Tensor<B>(*backend_, at_once, cols);
          backend_->decode(some.stored, decoded.matrix().rows_from(0, count));
          data = decoded.data();
        }
      }
      host.resize(static_cast<std::size_t>(count * cols));
      if (!host.empty()) backend_->copy_to_host(host.data(), data, static_cast<Bytes>(host.size() * sizeof(T)));
      use(std::span<const T>(host));
    }
  }
  /// Its numbers, on the host.
  std::vector<T> values(ParameterId id) const {
    if (!is_stored(id)) return at(id).elements.download();
    return decoded(id).download();
  }
  /// Gives a parameter elements of its own, exactly those that its format stands for: it is to be trained.
  void make_elements(ParameterId id) {
    if (!is_stored(id)) return;
    Entry& entry = at(id);
    entry.elements = decoded(id);
    entry.stored = {};
  }

 private:
  struct Entry {
    Tensor<B> elements;
    Stored stored;  ///< empty: it has elements
  };

  Entry& at(ParameterId id) { return entries_[static_cast<std::size_t>(id)]; }
  const Entry& at(ParameterId id) const { return entries_[static_cast<std::size_t>(id)]; }
  void expect_elements(ParameterId id) const {
    if (!is_stored(id)) return;
    throw ConfigError(
        "ParameterStore", text("parameter ", id),
        text("expected one that has elements of its own, got one stored as ", at(id).stored.matrix().format->name,
             "; call make_elements() before it is changed, or values() to read it"));
  }
  Tensor<B> decoded(ParameterId id) const {
    const StoredMatrix& stored = at(id).stored.matrix();
    Tensor<B> elements(*backend_, stored.rows, stored.cols);
    if constexpr (ReadsStoredWeights<B>) backend_->decode(stored, elements.matrix());
    return elements;
  }

  B* backend_;
  std::vector<Entry> entries_;
};

/// A parameter's elements for a kernel that only reads them: its own, or decoded into memory that all parameters share.
template <Backend B>
class ReadableElements {
 public:
  using T = typename B::Scalar;

  ReadableElements(B& backend, const ParameterStore<B>& parameters) : backend_(&backend), parameters_(&parameters) {}

  /// Elements that reading the largest parameter takes beside the parameters.
  template <class P>
  static Extent elements(const TensorGraph<P>& graph) {
    Extent most = 0;
    for (const Parameter& p : graph.parameters()) most = std::max(most, p.format == nullptr ? 0 : p.size());
    return most;
  }

  /// Valid until the next call.
  Matrix<const T> operator()(ParameterId id) {
    if constexpr (ReadsStoredWeights<B>) {
      const Weight<T> weight = parameters_->weight(id);
      if (weight.is_stored()) {
        if (memory_.size() < weight.stored.size()) memory_ = Tensor<B>(*backend_, 1, weight.stored.size());
        const Matrix<T> decoded(memory_.data(), weight.stored.rows, weight.stored.cols);
        backend_->decode(weight.stored, decoded);
        return decoded;
      }
    }
    return (*parameters_)[id].matrix();
  }

 private:
  B* backend_;
  const ParameterStore<B>* parameters_;
  Tensor<B> memory_;
};

/// Where weight gradients go. The executor asks for a parameter's gradient when it is first added to, and says when its
/// last contribution is in.
template <Backend B>
class GradientSink {
 public:
  virtual ~GradientSink() = default;
  /// Memory of the parameter's shape that the gradient is added to.
  virtual Matrix<typename B::Scalar> gradient(ParameterId id) = 0;
  /// All contributions of this pass are in; the parameter is not read again in this pass.
  virtual void completed(ParameterId id) = 0;
};

/// Gradients of selected parameters, kept and added up over passes until zeroed.
template <Backend B>
class GradientStore final : public GradientSink<B> {
 public:
  using T = typename B::Scalar;

  explicit GradientStore(B& backend) : backend_(&backend) {}

  /// Holds memory for the selected parameters alone; frees that of all others.
  void select(const TensorGraph<B>& graph, const Selection& selection) {
    tensors_.resize(graph.parameters().size());
    for (ParameterId id = 0; id < static_cast<ParameterId>(tensors_.size()); ++id) {
      auto& tensor = tensors_[static_cast<std::size_t>(id)];
      if (!selection.contains(id)) tensor = {};
    }
    for (ParameterId id = 0; id < static_cast<ParameterId>(tensors_.size()); ++id) {
      auto& tensor = tensors_[static_cast<std::size_t>(id)];
      const Parameter& p = graph.parameter(id);
      if (selection.contains(id) && !tensor) tensor = Tensor<B>(*backend_, p.rows(), p.cols());
    }
  }
  void zero() {
    for (auto& t : tensors_) t.zero();
  }

  Tensor<B>& operator[](ParameterId id) { return tensors_[static_cast<std::size_t>(id)]; }
  Bytes bytes() const {
    Bytes total = 0;
    for (const auto& t : tensors_) total += t.bytes();
    return total;
  }

  Matrix<T> gradient(ParameterId id) override { return (*this)[id].matrix(); }
  void completed(ParameterId) override {}

 private:
  B* backend_;
  std::vector<Tensor<B>> tensors_;
};

}  // namespace greentrainer
