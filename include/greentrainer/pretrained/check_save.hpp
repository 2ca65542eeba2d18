#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "greentrainer/pretrained/save_adapter.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"

namespace greentrainer {

namespace detail {

/// At most: what a file says of a tensor, and files of a few lines.
inline constexpr Bytes tensor_header = 256, small_files = Bytes{64} << 10;

}  // namespace detail

/// What a save writes: in all, and its largest file.
struct SaveSize {
  Bytes bytes = 0;
  Bytes largest_file = 0;

  void add(Bytes file) {
    bytes += file;
    largest_file = std::max(largest_file, file);
  }
};

/// What write_weights will write.
template <Backend B>
SaveSize size_of_weights(const PretrainedModel<B>& model, std::optional<DType> dtype = {}) {
  Bytes weights = detail::small_files;
  for (const TensorToWrite& tensor : detail::tensors_to_save(model, dtype)) {
    weights += detail::tensor_header + static_cast<Bytes>(tensor.name.size());
    weights += static_cast<Bytes>(*checked_bytes(tensor.shape, *safetensors_element_size(tensor.dtype_name)));
  }
  SaveSize size;
  size.add(weights);
  return size;
}

/// What write_pretrained will write. Throws SaveError for a file of the model's folder that cannot be copied.
template <Backend B>
SaveSize size_of_save(const PretrainedModel<B>& model, std::optional<DType> dtype = {}) {
  SaveSize size = size_of_weights(model, dtype);
  for (const std::string& name : detail::companions_of(model.folder()))
    size.add(static_cast<Bytes>(std::filesystem::file_size(model.folder() / name)));
  return size;
}

/// What write_adapter will write.
template <Backend B>
SaveSize size_of_adapter(const PretrainedModel<B>& model) {
  Bytes weights =
      detail::small_files + 4 * detail::prefix_table(model.graph()).tokens * detail::prefix_table(model.graph()).cols();
  for (const Parameter& p : model.graph().parameters()) {
    if (p.is_adapter())
      weights += detail::tensor_header + static_cast<Bytes>(p.name.size()) + 4 * static_cast<Bytes>(p.size());
  }
  SaveSize size;
  size.add(weights);
  return size;
}

/// To be called before a long run: throws what write_pretrained would throw after it, as far as it can be known.
/// SaveError for a file system without room, and for files of the model's folder that cannot be copied; NumericalError
/// for weights that the element type cannot hold as they are now; ConfigError for a model with a prefix. Costs a look
/// at all weights whose element type changes.
template <Backend B>
void check_save(const PretrainedModel<B>& model, const OutputFolder& output, std::optional<DType> dtype = {}) {
  using T = typename B::Scalar;
  detail::expect_no_prefix(model);
  const SaveSize size = size_of_save(model, dtype);
  output.expect_room(size.bytes, size.largest_file);
  std::vector<T> values;
  for (const TensorToWrite& tensor : detail::tensors_to_save(model, dtype)) {
    const TensorInfo& info = model.checkpoint().info(tensor.name);
    if (tensor.dtype_name == info.dtype_name) continue;
    values.resize(static_cast<std::size_t>(info.elements()));
    model.checkpoint().template read_as<T>(info.name, values);
    const DType stored = *dtype_from_safetensors(tensor.dtype_name);
    detail::expect_held<T>(info.name, stored, values, encode_floats<T>(stored, std::span<const T>(values)));
  }
}

/// The same for write_adapter.
template <Backend B>
void check_save_adapter(const PretrainedModel<B>& model, const OutputFolder& output) {
  const SaveSize size = size_of_adapter(model);
  output.expect_room(size.bytes, size.largest_file);
}

}  // namespace greentrainer
