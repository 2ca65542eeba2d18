#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/core/storage_format.hpp"
#include "greentrainer/core/types.hpp"
#include "greentrainer/io/json_fwd.hpp"
#include "greentrainer/io/safetensors_writer.hpp"

namespace greentrainer {

/// A value of GGUF's metadata, in one of the types that llama.cpp's own files have.
using GgufValue = std::variant<bool, std::uint32_t, float, std::string, std::vector<std::string>,
                               std::vector<std::int32_t>, std::vector<float>>;

/// Keys and values in the order in which they are written: general.architecture comes first, as readers expect.
using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;

/// Metadata as GgufFile::metadata gives them once they are written and read again.
Json gguf_metadata_json(const GgufMetadata& metadata);

/// A tensor to be written; see TensorToWrite.
struct GgufTensorToWrite {
  std::string name = {};
  const StorageFormat* format = nullptr;  ///< one that GGUF has
  std::vector<Extent> shape = {};         ///< row-major; the file has it reversed
  std::function<void(const ByteSink&)> write;
};

/// Writes a GGUF file of version 3, little endian, alignment 32; returns its bytes. Tensors lie in the order given. The
/// file appears at `path` only when all of it is on disk. Throws SaveError, leaving what was there: a key or a name
/// that is twice there or not of visible ASCII characters, a format that GGUF does not have, rows that are no multiple
/// of a block, other dimensions than 1 to 4, a tensor that hands over another number of bytes, a disk that is full.
Bytes write_gguf(const std::filesystem::path& path, const GgufMetadata& metadata,
                 const std::vector<GgufTensorToWrite>& tensors);

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/io/gguf_writer_inl.hpp"
#endif
