#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "greentrainer/models/model.hpp"
#include "greentrainer/train/state_tensors.hpp"

namespace greentrainer {

/// Writes all parameters of a model, by name, into a safetensors file, in the backend's element type. The file appears
/// when all of it is on disk. Throws SaveError, and ConfigError for a parameter that is stored in a format.
template <Backend B>
void save_weights(Model<B>& model, const std::filesystem::path& path) {
  std::vector<TensorToWrite> tensors;
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    const Parameter& p = model.graph().parameter(id);
    tensors.push_back(tensor_to_write(model.backend(), p.name, p.shape, model.parameters()[id]));
  }
  write_safetensors(path, std::move(tensors));
}

/// Reads what save_weights wrote, or any safetensors file with tensors of the same names and shapes; numbers are
/// converted. Throws LoadError, naming a tensor that is missing, has another shape, or that the model does not have:
/// weights are then what they were.
template <Backend B>
void load_weights(Model<B>& model, const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  const auto& graph = model.graph();
  for (const TensorInfo& info : file.tensors()) {
    const auto id = graph.find(info.name);
    const auto fail = [&](const auto&... what) {
      throw LoadError("load_weights", text(path.string(), ", tensor ", info.name), text(what...));
    };
    if (!id) fail("expected a parameter of the model, got none of that name");
    const ParameterShape& shape = graph.parameter(*id).shape;
    if (info.shape != shape) fail("expected shape ", shape_text(shape), ", got ", shape_text(info.shape));
    if (!info.dtype) fail("expected F64, F32, F16 or BF16, got ", info.dtype_name);
  }
  for (const Parameter& p : graph.parameters()) file.info(p.name);
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id)
    read_tensor(model.backend(), file, graph.parameter(id).name, model.parameters()[id]);
}

}  // namespace greentrainer
