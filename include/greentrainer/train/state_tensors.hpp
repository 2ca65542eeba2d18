#pragma once

#include <algorithm>
#include <concepts>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/io/safetensors.hpp"
#include "greentrainer/io/safetensors_writer.hpp"
#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer {

/// Elements that are copied between a backend and a file at once.
inline constexpr Extent most_elements_at_once = Extent{1} << 16;

template <std::floating_point T>
constexpr DType dtype_of() {
  return sizeof(T) == sizeof(float) ? DType::float32 : DType::float64;
}

/// A tensor of a backend, which must live until it is written, in the backend's element type.
template <Backend B>
TensorToWrite tensor_to_write(B& backend, std::string name, std::vector<Extent> shape, const Tensor<B>& tensor) {
  using T = typename B::Scalar;
  return {std::move(name), std::string(safetensors_name(dtype_of<T>())), std::move(shape),
          [&backend, data = tensor.data(), size = tensor.size()](const ByteSink& sink) {
            std::vector<T> host;
            for (Extent first = 0; first < size; first += most_elements_at_once) {
              host.resize(static_cast<std::size_t>(std::min(most_elements_at_once, size - first)));
              backend.copy_to_host(host.data(), data + first, static_cast<Bytes>(host.size() * sizeof(T)));
              sink(std::as_bytes(std::span(host)));
            }
          }};
}

/// Throws LoadError unless the file has a tensor of this name, shape and the backend's element type.
template <Backend B>
void expect_tensor(const SafetensorsFile& file, const std::string& name, const std::vector<Extent>& shape) {
  const TensorInfo& info = file.info(name);
  constexpr DType dtype = dtype_of<typename B::Scalar>();
  if (info.shape == shape && info.dtype == dtype) return;
  throw LoadError("load", text(file.path().string(), ", tensor ", name),
                  text("expected ", shape_text(shape), " of ", safetensors_name(dtype), ", got ",
                       shape_text(info.shape), " of ", info.dtype_name));
}

/// Fills a tensor that the file was checked to have.
template <Backend B>
void read_tensor(B& backend, const SafetensorsFile& file, const std::string& name, const Tensor<B>& tensor) {
  using T = typename B::Scalar;
  std::vector<T> host;
  for (Extent first = 0; first < tensor.size(); first += most_elements_at_once) {
    host.resize(static_cast<std::size_t>(std::min(most_elements_at_once, tensor.size() - first)));
    file.read_part_as(name, static_cast<std::size_t>(first), std::span(host));
    backend.copy_from_host(tensor.data() + first, host.data(), static_cast<Bytes>(host.size() * sizeof(T)));
  }
}

}  // namespace greentrainer
