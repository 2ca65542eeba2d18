#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>
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
  const ModelFiles& files = model.files();
  for (const std::string& name : detail::companions_of(files)) {
    size.add(static_cast<Bytes>(files.is_folder() ? std::filesystem::file_size(files.path() / name)
                                                  : files.read(name).size()));
  }
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
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    if (model.graph().parameter(id).is_adapter()) continue;
    const TensorInfo info = model.stored().saved(id);
    const DType stored = dtype.value_or(*info.dtype);
    if (stored == *info.dtype) continue;
    values.resize(static_cast<std::size_t>(info.elements()));
    model.checkpoint().read_as(model.source_name(id), std::span<T>(values));
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
