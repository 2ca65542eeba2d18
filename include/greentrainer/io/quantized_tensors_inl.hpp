#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "greentrainer/io/json.hpp"
#include "greentrainer/io/quantized_tensors.hpp"
#include "greentrainer/io/tensor_decoders.hpp"

namespace greentrainer {

namespace detail {

/// Where tensors lie, by name, in several files.
class FilesByName {
 public:
  explicit FilesByName(const std::vector<SafetensorsFile>& files) {
    for (const SafetensorsFile& file : files) {
      for (const TensorInfo& info : file.tensors()) where_.emplace(info.name, &file);
    }
  }

  const SafetensorsFile* find(std::string_view name) const {
    const auto found = where_.find(name);
    return found == where_.end() ? nullptr : found->second;
  }
  const std::map<std::string, const SafetensorsFile*, std::less<>>& all() const { return where_; }

 private:
  std::map<std::string, const SafetensorsFile*, std::less<>> where_;
};

[[noreturn]] inline void fail_quantized(const TensorInfo& info, const std::string& what) {
  throw LoadError("load_checkpoint", text(info.file.string(), ", tensor ", info.name), what);
}

/// A tensor that belongs to the codes `of`. Throws LoadError unless it is there.
inline const SafetensorsFile& file_beside(const FilesByName& files, const TensorInfo& of, const std::string& name) {
  const SafetensorsFile* const file = files.find(name);
  if (file == nullptr) fail_quantized(of, text("expected ", name, " beside these codes, got a folder without it"));
  return *file;
}

/// Its numbers, of which there are so many.
inline std::vector<float> scales_beside(const FilesByName& files, const TensorInfo& of, const std::string& name,
                                        std::size_t count) {
  const SafetensorsFile& file = file_beside(files, of, name);
  const TensorInfo& info = file.info(name);
  if (static_cast<std::size_t>(info.elements()) != count)
    fail_quantized(info,
                   text("expected ", count, " numbers, got ", info.elements(), " of shape ", shape_text(info.shape)));
  std::vector<float> values(count);
  file.read_as<float>(name, values);
  if (!std::ranges::all_of(values, [](float v) { return std::isfinite(v); }))
    fail_quantized(info, "expected finite numbers, got others");
  return values;
}

/// Fields of JSON from strangers: of a quantization_config, or of the state that bitsandbytes keeps in a tensor.
class QuantizationFields {
 public:
  QuantizationFields(const Json& json, std::string source) : json_(&json), source_(std::move(source)) {}

  [[noreturn]] void fail(const char* field, const std::string& what) const {
    throw ConfigError("load_checkpoint", text(source_, ", field \"", field, "\""), what);
  }
  const Json* find(const char* field) const {
    const auto found = json_->is_object() ? json_->find(field) : json_->end();
    return !json_->is_object() || found == json_->end() || found->is_null() ? nullptr : &*found;
  }
  std::string string(const char* field, const std::string& otherwise = {}) const {
    const Json* const value = find(field);
    if (value == nullptr) return otherwise;
    if (!value->is_string()) fail(field, text("expected a text, got ", value->type_name()));
    return value->get<std::string>();
  }
  bool flag(const char* field) const {
    const Json* const value = find(field);
    if (value != nullptr && !value->is_boolean()) fail(field, text("expected true or false, got ", value->type_name()));
    return value != nullptr && value->get<bool>();
  }
  /// A whole number from 1 on.
  Extent count(const char* field, const Json& value) const {
    constexpr Extent most = Extent{1} << 40;
    if (!value.is_number_integer() || value > most || value < 1)
      fail(field, text("expected whole numbers from 1 to ", most, ", got ", value.dump(-1, ' ', true).substr(0, 40)));
    return value.get<Extent>();
  }
  Extent count(const char* field, Extent otherwise) const {
    const Json* const value = find(field);
    return value == nullptr ? otherwise : count(field, *value);
  }
  std::vector<Extent> counts(const char* field) const {
    const Json* const value = find(field);
    std::vector<Extent> all;
    if (value == nullptr) return all;
    if (!value->is_array() || value->size() > 8)
      fail(field, "expected a short array of whole numbers, got another value");
    for (const Json& each : *value) all.push_back(count(field, each));
    return all;
  }

 private:
  const Json* json_;
  std::string source_;
};

/// What a method of quantisation takes its tensors from, and what it makes of them.
struct QuantizedFolder {
  QuantizationFields config;
  FilesByName files;
  QuantizedTensors found = {};

  /// A tensor that is decoded, under the name, with the shape.
  void add(const TensorInfo& codes, std::vector<Extent> shape, DType dtype,
           std::unique_ptr<const TensorDecoder> decoder) {
    add(codes, codes.name, std::move(shape), dtype, std::move(decoder));
  }
  void add(const TensorInfo& codes, std::string name, std::vector<Extent> shape, DType dtype,
           std::unique_ptr<const TensorDecoder> decoder) {
    TensorInfo info = codes;
    info.name = name;
    info.shape = std::move(shape);
    info.dtype = dtype;
    info.dtype_name = safetensors_name(dtype);
    found.decoded.emplace(std::move(name), QuantizedTensors::Decoded{std::move(info), std::move(decoder)});
  }
  void hide(const std::string& name) { found.companions.push_back(name); }
};

/// Rows and columns of codes. Throws LoadError for other shapes, such as those of all experts in one tensor.
inline std::pair<std::size_t, std::size_t> matrix_of(const TensorInfo& codes) {
  if (codes.shape.size() != 2 || codes.elements() == 0)
    fail_quantized(codes, text("expected a matrix of codes, got shape ", shape_text(codes.shape)));
  return {static_cast<std::size_t>(codes.shape[0]), static_cast<std::size_t>(codes.shape[1])};
}

inline bool is_float8(const TensorInfo& info) { return info.dtype_name == "F8_E4M3" || info.dtype_name == "F8_E5M2"; }

/// Throws LoadError where codes of another type than `types` lie beside scales: nothing has decoded them. Their names
/// are the same but for how they end.
inline void expect_all_decoded(const QuantizedFolder& folder, std::string_view codes, std::string_view scales,
                               std::string_view types) {
  for (const auto& [name, file] : folder.files.all()) {
    if (!name.ends_with(scales)) continue;
    const std::string decoded = text(std::string_view(name).substr(0, name.size() - scales.size()), codes);
    const SafetensorsFile* const of = folder.files.find(decoded);
    if (of == nullptr || folder.found.decoded.contains(decoded)) continue;
    fail_quantized(of->info(decoded),
                   text("expected codes of ", types, " beside ", name, ", got ", of->info(decoded).dtype_name));
  }
}

/// Throws LoadError for scales of activations: what a static quantisation of them computes would be lost.
inline void expect_no_activation_scales(const QuantizedFolder& folder) {
  for (const auto& [name, file] : folder.files.all()) {
    if (name.ends_with(".input_scale") || name.ends_with(".activation_scale"))
      fail_quantized(file->info(name), "expected activations that are not quantised, got scales of them");
  }
}

/// Bytes with scales of blocks of rows and columns, or of rows alone. `name`: of the scales.
inline void add_float8(QuantizedFolder& folder, const SafetensorsFile& file, const TensorInfo& codes,
                       const std::string& name, std::size_t block_rows, std::size_t block_columns) {
  const auto [rows, columns] = matrix_of(codes);
  const auto up = [](std::size_t extent, std::size_t block) { return (extent + block - 1) / block; };
  ByteDecoder::Scales scales{
      .block_rows = block_rows, .block_columns = block_columns, .columns = up(columns, block_columns)};
  const std::vector<Extent> blocks = {static_cast<Extent>(up(rows, block_rows)), static_cast<Extent>(scales.columns)};
  const TensorInfo& info = file_beside(folder.files, codes, name).info(name);
  const bool one_for_all = blocks[0] * blocks[1] == 1 && info.elements() == 1;
  const bool one_a_row = blocks[1] == 1 && info.shape == std::vector<Extent>{blocks[0]};
  if (info.shape != blocks && !one_for_all && !one_a_row)
    fail_quantized(info, text("expected scales of shape ", shape_text(blocks), ", got ", shape_text(info.shape)));
  scales.values = scales_beside(folder.files, codes, name, static_cast<std::size_t>(info.elements()));
  folder.hide(name);
  folder.add(
      codes, codes.shape, DType::float32,
      std::make_unique<ByteDecoder>(file, codes, float8_values(codes.dtype_name == "F8_E4M3"), std::move(scales)));
}

/// DeepSeek's and Qwen's: `weight_scale_inv` multiplies, for blocks of `weight_block_size`, or all of a tensor.
inline void find_fp8(QuantizedFolder& folder) {
  if (folder.config.string("activation_scheme", "dynamic") != "dynamic")
    folder.config.fail("activation_scheme", "expected dynamic, got another scheme: its scales would be lost");
  const std::vector<Extent> block = folder.config.counts("weight_block_size");
  if (!block.empty() && block.size() != 2)
    folder.config.fail("weight_block_size", text("expected rows and columns, got ", block.size(), " numbers"));
  for (const auto& [name, file] : folder.files.all()) {
    const TensorInfo& codes = file->info(name);
    if (!is_float8(codes)) continue;
    const auto [rows, columns] = matrix_of(codes);
    add_float8(folder, *file, codes, name + "_scale_inv", block.empty() ? rows : static_cast<std::size_t>(block[0]),
               block.empty() ? columns : static_cast<std::size_t>(block[1]));
  }
  expect_all_decoded(folder, "", "_scale_inv", "F8_E4M3 or F8_E5M2");
  expect_no_activation_scales(folder);
}

/// compressed-tensors' float-quantized: `weight_scale` for each row, or for all of a tensor.
inline void find_float_quantized(QuantizedFolder& folder) {
  for (const auto& [name, file] : folder.files.all()) {
    const TensorInfo& codes = file->info(name);
    if (!is_float8(codes)) continue;
    const auto [rows, columns] = matrix_of(codes);
    const std::string scale = name + "_scale";
    const Extent scales = file_beside(folder.files, codes, scale).info(scale).elements();
    add_float8(folder, *file, codes, scale, scales == 1 ? rows : 1, columns);
  }
  expect_all_decoded(folder, "", "_scale", "F8_E4M3 or F8_E5M2");
  expect_no_activation_scales(folder);
}

/// bitsandbytes' int8: rows with their largest magnitude in SCB; a number is code * SCB / 127.
inline void find_int8(QuantizedFolder& folder) {
  constexpr std::string_view suffix = "weight";
  for (const auto& [name, file] : folder.files.all()) {
    const TensorInfo& codes = file->info(name);
    if (codes.dtype_name != "I8" || !name.ends_with(suffix)) continue;
    const std::string layer = name.substr(0, name.size() - suffix.size());
    const auto [rows, columns] = matrix_of(codes);
    std::array<float, 256> table{};
    for (std::size_t byte = 0; byte < 256; ++byte)
      table[byte] = static_cast<float>(static_cast<std::int8_t>(static_cast<std::uint8_t>(byte)));
    ByteDecoder::Scales scales{.values = scales_beside(folder.files, codes, layer + "SCB", rows),
                               .block_columns = columns};
    folder.hide(layer + "SCB");
    if (const SafetensorsFile* const format = folder.files.find(name + "_format")) {
      const std::vector<std::byte> rows_in_order = format->raw(name + "_format");
      if (rows_in_order != std::vector<std::byte>(1))
        fail_quantized(format->info(name + "_format"), "expected a byte of 0, codes in rows, got another layout");
      folder.hide(name + "_format");
    }
    constexpr float one_of_127 = 7.874015718698502e-3F;  // as bitsandbytes has it
    folder.add(codes, codes.shape, DType::float32,
               std::make_unique<ByteDecoder>(*file, codes, table, std::move(scales), one_of_127));
  }
  expect_all_decoded(folder, suffix, "SCB", "I8");
}

template <std::size_t n>
std::array<float, n> table_beside(const FilesByName& files, const TensorInfo& of, const std::string& name) {
  const std::vector<float> values = scales_beside(files, of, name, n);
  std::array<float, n> table{};
  std::ranges::copy(values, table.begin());
  return table;
}

/// One tensor of four bits. `state_name`: of the tensor that holds its state as JSON.
inline void add_4bit(QuantizedFolder& folder, const std::string& name, const std::string& state_name) {
  constexpr Bytes most_of_state = 1 << 16;
  const SafetensorsFile* const file = folder.files.find(name);
  const TensorInfo& state_info = folder.files.find(state_name)->info(state_name);
  if (file == nullptr) fail_quantized(state_info, text("expected ", name, " beside it, got a folder without it"));
  if (state_info.dtype_name != "U8" || state_info.elements() > most_of_state)
    fail_quantized(state_info, text("expected at most ", most_of_state, " bytes of JSON, got ", state_info.elements(),
                                    " elements of ", state_info.dtype_name));
  const std::vector<std::byte> bytes = folder.files.find(state_name)->raw(state_name);
  const std::string source = text(state_info.file.string(), ", tensor ", state_name);
  const Json json = parse_json(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), source);
  const QuantizationFields state(json, source);

  const TensorInfo& codes = file->info(name);
  const std::vector<Extent> shape = state.counts("shape");
  const auto elements = checked_bytes(shape, 1);
  if (shape.empty() || !elements || codes.dtype_name != "U8" ||
      static_cast<std::size_t>(codes.elements()) != (*elements + 1) / 2) {
    fail_quantized(codes, text("expected two numbers of ", shape_text(shape), " in each byte, got ", codes.elements(),
                               " elements of ", codes.dtype_name));
  }
  const std::string type = state.string("dtype", "float32");
  if (type != "float32" && type != "float16" && type != "bfloat16")
    state.fail("dtype", text("expected float32, float16 or bfloat16, got ", type));

  const std::string absmax = name + ".absmax";
  NibbleDecoder::Magnitudes magnitudes{.name = absmax,
                                       .file = &file_beside(folder.files, codes, absmax),
                                       .block = static_cast<std::size_t>(state.count("blocksize", 64))};
  const TensorInfo& largest = magnitudes.file->info(absmax);
  const std::size_t blocks = (*elements + magnitudes.block - 1) / magnitudes.block;
  magnitudes.nested = folder.files.find(name + ".nested_absmax") != nullptr;
  if (static_cast<std::size_t>(largest.elements()) != blocks ||
      largest.dtype_name != (magnitudes.nested ? "U8" : "F32"))
    fail_quantized(largest, text("expected ", blocks, " elements of ", magnitudes.nested ? "U8" : "F32", ", got ",
                                 largest.elements(), " of ", largest.dtype_name));
  if (magnitudes.nested) {
    magnitudes.nested_block = static_cast<std::size_t>(state.count("nested_blocksize", 256));
    const Json* const offset = state.find("nested_offset");
    if (offset == nullptr || !offset->is_number() ||
        std::abs(offset->get<double>()) > double{std::numeric_limits<float>::max()})
      state.fail("nested_offset", "expected a finite number, got none");
    magnitudes.offset = static_cast<float>(offset->get<double>());
    magnitudes.scales = scales_beside(folder.files, codes, name + ".nested_absmax",
                                      (blocks + magnitudes.nested_block - 1) / magnitudes.nested_block);
    magnitudes.table = table_beside<256>(folder.files, codes, name + ".nested_quant_map");
    folder.hide(name + ".nested_absmax");
    folder.hide(name + ".nested_quant_map");
  }
  for (const std::string& companion : {absmax, name + ".quant_map", state_name}) folder.hide(companion);
  const DType dtype = parse_dtype(type);
  folder.add(codes, shape, dtype,
             std::make_unique<NibbleDecoder>(*file, name, table_beside<16>(folder.files, codes, name + ".quant_map"),
                                             std::move(magnitudes), dtype));
}

inline void find_4bit(QuantizedFolder& folder) {
  for (const char* ending : {".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"}) {
    const std::string_view suffix = ending;
    for (const auto& [name, file] : folder.files.all()) {
      if (name.ends_with(suffix)) add_4bit(folder, name.substr(0, name.size() - suffix.size()), name);
    }
  }
}

/// gpt-oss' experts: NAME_blocks (experts, out, in / 32, 16) and NAME_scales (experts, out, in / 32) stand for NAME
/// (experts, in, out).
inline void find_mxfp4(QuantizedFolder& folder) {
  constexpr std::string_view suffix = "_blocks";
  for (const auto& [blocks_name, file] : folder.files.all()) {
    if (!blocks_name.ends_with(suffix)) continue;
    const TensorInfo& blocks = file->info(blocks_name);
    const std::string name = blocks_name.substr(0, blocks_name.size() - suffix.size()), scales_name = name + "_scales";
    if (blocks.dtype_name != "U8" || blocks.shape.size() != 4 || blocks.shape[3] != 16 || blocks.elements() == 0)
      fail_quantized(blocks, text("expected bytes of shape (experts, out, in / 32, 16), got ", blocks.dtype_name,
                                  " of shape ", shape_text(blocks.shape)));
    const SafetensorsFile& scales_file = file_beside(folder.files, blocks, scales_name);
    const TensorInfo& scales = scales_file.info(scales_name);
    const std::vector<Extent> expected(blocks.shape.begin(), blocks.shape.end() - 1);
    if (scales.dtype_name != "U8" || scales.shape != expected)
      fail_quantized(scales, text("expected bytes of shape ", shape_text(expected), ", got ", scales.dtype_name,
                                  " of shape ", shape_text(scales.shape)));
    if (folder.files.find(name) != nullptr)
      fail_quantized(blocks, text("expected codes alone, got ", name, " beside them"));
    const Extent out = blocks.shape[1], in = 32 * blocks.shape[2];
    folder.hide(blocks_name);
    folder.hide(scales_name);
    folder.add(blocks, name, {blocks.shape[0], in, out}, DType::bfloat16,
               std::make_unique<Mxfp4Decoder>(Mxfp4Decoder::Source{file, blocks_name},
                                              Mxfp4Decoder::Source{&scales_file, scales_name},
                                              static_cast<std::size_t>(out), static_cast<std::size_t>(in)));
  }
}

/// What reads a folder of that quantization_config. Throws ConfigError where nothing does.
inline void (*quantization_reader(const QuantizationFields& config))(QuantizedFolder&) {
  const std::string method = config.string("quant_method");
  if (method == "fp8") return find_fp8;
  if (method == "mxfp4") return find_mxfp4;
  if (method == "bitsandbytes") {
    const bool four = config.flag("load_in_4bit"), eight = config.flag("load_in_8bit");
    if (four == eight) config.fail("load_in_4bit", "expected either this or load_in_8bit, got both or none of them");
    return four ? find_4bit : find_int8;
  }
  if (method == "compressed-tensors") {
    const std::string format = config.string("format");
    if (format == "float-quantized") return find_float_quantized;
    config.fail("format", text("expected float-quantized, got ", format.empty() ? "none" : format,
                               "; save the model dequantised"));
  }
  config.fail("quant_method", text("expected bitsandbytes, fp8, mxfp4 or compressed-tensors, got ",
                                   method.empty() ? "none" : method, "; save the model dequantised"));
}

}  // namespace detail

GREENTRAINER_INLINE void check_quantization(const Json& quantization_config, const std::string& source) {
  detail::quantization_reader(detail::QuantizationFields(quantization_config, source));
}

GREENTRAINER_INLINE QuantizedTensors find_quantized_tensors(const Json& quantization_config, const std::string& source,
                                                            const std::vector<SafetensorsFile>& files) {
  detail::QuantizedFolder folder{.config = {quantization_config, source}, .files = detail::FilesByName(files)};
  detail::quantization_reader(folder.config)(folder);
  return std::move(folder.found);
}

}  // namespace greentrainer
