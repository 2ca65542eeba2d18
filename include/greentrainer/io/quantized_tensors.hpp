#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/io/json_fwd.hpp"
#include "greentrainer/io/safetensors.hpp"

namespace greentrainer {

/// The numbers of a tensor that a folder stores quantised.
class TensorDecoder {
 public:
  TensorDecoder() = default;
  TensorDecoder(const TensorDecoder&) = delete;
  TensorDecoder& operator=(const TensorDecoder&) = delete;
  virtual ~TensorDecoder() = default;

  /// Those from the `first` on, in the order of rows; all of them exist. Throws LoadError if the file has become
  /// shorter.
  virtual void read_part(std::size_t first, std::span<float> values) const = 0;
};

/// Tensors that stand in the place of those that a folder stores quantised: a matrix of codes, and scales beside it.
struct QuantizedTensors {
  struct Decoded {
    TensorInfo info;  ///< the name that it has in other folders, its shape, and a type that holds its numbers
    std::unique_ptr<const TensorDecoder> decoder;
  };
  std::map<std::string, Decoded, std::less<>> decoded;
  std::vector<std::string> companions;  ///< scales and the like, which are no tensors of the model
};

/// Checks a `quantization_config`. What can be read: bitsandbytes (NF4, FP4, int8), fp8 (blocks with scales, as
/// DeepSeek and Qwen publish them), mxfp4 (gpt-oss' experts) and compressed-tensors with format float-quantized.
/// `source` is for errors. Throws ConfigError for others, naming the method.
void check_quantization(const Json& quantization_config, const std::string& source);

/// The tensors that stand in files quantised so. The files outlive them. Throws ConfigError as above, and LoadError for
/// codes without scales, and for scales whose shapes do not fit.
QuantizedTensors find_quantized_tensors(const Json& quantization_config, const std::string& source,
                                        const std::vector<SafetensorsFile>& files);

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/io/quantized_tensors_inl.hpp"
#endif
