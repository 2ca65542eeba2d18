#pragma once

#include <span>
#include <utility>
#include <vector>

#include "greentrainer/concepts/backend.hpp"

namespace greentrainer {

/// A matrix that owns its memory on a backend: move-only, freed with it. The backend must outlive it.
template <BackendMemory B, class T = typename B::Scalar>
class Tensor {
 public:
  Tensor() = default;

  /// Uninitialised (rows, cols) elements. Throws BackendError if there is no memory for them.
  Tensor(B& backend, Extent rows, Extent cols) : backend_(&backend), rows_(rows), cols_(cols) {
    if (rows < 0 || cols < 0)
      throw ShapeError("Tensor", "shape", text("expected no negative extent, got (", rows, ", ", cols, ")"));
    if (bytes() > 0) data_ = static_cast<T*>(backend.allocate(bytes()));
  }
  Tensor(B& backend, std::span<const T> host) : Tensor(backend, 1, static_cast<Extent>(host.size())) { upload(host); }

  Tensor(Tensor&& other) noexcept { swap(other); }
  Tensor& operator=(Tensor&& other) noexcept {
    Tensor(std::move(other)).swap(*this);
    return *this;
  }
  ~Tensor() {
    if (data_ != nullptr) backend_->deallocate(data_, bytes());
  }

  T* data() const { return data_; }
  Extent rows() const { return rows_; }
  Extent cols() const { return cols_; }
  Extent size() const { return rows_ * cols_; }
  Bytes bytes() const { return size() * static_cast<Bytes>(sizeof(T)); }
  explicit operator bool() const { return data_ != nullptr; }
  Matrix<T> matrix() const { return {data_, rows_, cols_}; }

  void zero() {
    if (data_ != nullptr) backend_->zero(data_, bytes());
  }
  /// Requires host.size() <= size().
  void upload(std::span<const T> host) {
    if (static_cast<Extent>(host.size()) > size())
      throw ShapeError("Tensor::upload", "elements", text("expected at most ", size(), ", got ", host.size()));
    if (!host.empty()) backend_->copy_from_host(data_, host.data(), static_cast<Bytes>(host.size_bytes()));
  }
  std::vector<T> download() const {
    std::vector<T> host(static_cast<std::size_t>(size()));
    if (data_ != nullptr) backend_->copy_to_host(host.data(), data_, bytes());
    return host;
  }

  void swap(Tensor& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(rows_, other.rows_);
    std::swap(cols_, other.cols_);
  }

 private:
  B* backend_ = nullptr;
  T* data_ = nullptr;
  Extent rows_ = 0;
  Extent cols_ = 0;
};

}  // namespace greentrainer
