#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/gguf_writer.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/gguf_config.hpp"
#include "greentrainer/models/gguf_metadata.hpp"
#include "greentrainer/pretrained/generation_ends.hpp"
#include "greentrainer/pretrained/model_source.hpp"
#include "greentrainer/pretrained/save_gguf.hpp"
#include "greentrainer/pretrained/stored_weights.hpp"
#include "greentrainer/tokenizers/gguf_tokenizer_metadata.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"

namespace greentrainer {

namespace detail {

/// Formats that a whole file may have, and its number in general.file_type.
inline constexpr auto gguf_file_types =
    std::to_array<std::pair<std::string_view, std::uint32_t>>({{"F32", 0}, {"F16", 1}, {"Q8_0", 7}, {"BF16", 32}});

inline std::uint32_t gguf_file_type(const StorageFormat* format) {
  const std::string_view name = format == nullptr ? "none" : format->name;
  const auto found = std::ranges::find(gguf_file_types, name, &std::pair<std::string_view, std::uint32_t>::first);
  if (found == gguf_file_types.end())
    throw ConfigError("save_gguf", "format", text("expected F32, F16, BF16 or Q8_0, got ", name));
  return found->second;
}

/// The inverse of what StoredWeights takes off: rows in pairs, an offset added in float32.
inline void to_gguf(const TensorRow& row, std::vector<float>& values) {
  if (row.gguf.offset != 0) {
    for (float& value : values) value += row.gguf.offset;
  }
  if (row.gguf.rotary_heads == 0) return;
  const auto rows = static_cast<std::size_t>(row.shape[0]), width = values.size() / rows;
  const std::size_t head = rows / static_cast<std::size_t>(row.gguf.rotary_heads);
  const std::vector<float> before(values);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t in_head = r % head, pair = in_head % (head / 2), second = in_head / (head / 2);
    const std::size_t to = r - in_head + 2 * pair + second;
    std::copy_n(before.begin() + static_cast<std::ptrdiff_t>(r * width), width,
                values.begin() + static_cast<std::ptrdiff_t>(to * width));
  }
}

/// Hands numbers over in a format, some rows at a time. Throws NumericalError for one that it cannot hold.
inline void hand_over_blocks(const std::string& tensor, const StorageFormat& format, std::span<const float> values,
                             const ByteSink& sink) {
  constexpr std::size_t at_once = std::size_t{1} << 16;  // a multiple of every block
  std::vector<std::byte> bytes;
  std::vector<float> held;
  for (std::size_t first = 0; first < values.size(); first += at_once) {
    const auto some = values.subspan(first, std::min(at_once, values.size() - first));
    bytes.resize(some.size() / format.block * format.bytes);
    encode_blocks(format, some, bytes);
    held.resize(some.size());
    decode_blocks<float>(format, bytes, held);
    const auto bad = std::ranges::find_if(held, [](float value) { return !std::isfinite(value); });
    if (bad != held.end()) {
      throw NumericalError("save_gguf", tensor,
                           text("expected weights that ", format.name, " can hold, got ",
                                some[static_cast<std::size_t>(bad - held.begin())], "; choose BF16 or F32"));
    }
    sink(bytes);
  }
}

/// One model on its way to a file.
class GgufExport {
 public:
  GgufExport(const ModelSource& source, GgufModel model, StoredWeights stored, const GgufOptions& options)
      : source_(&source),
        stored_(std::move(stored)),
        options_(&options),
        file_type_(gguf_file_type(options.format)),
        model_(std::move(model)),
        table_(model_.decoder.tensors()) {}

  SavedGguf write(const std::filesystem::path& file) {
    GgufMetadata all = general();
    all.insert(all.end(), model_.metadata.begin(), model_.metadata.end());
    add_tokenizer(all);
    const std::vector<GgufTensorToWrite> tensors = tensors_to_write();
    saved_.architecture = model_.architecture;
    saved_.tensors = tensors.size();
    saved_.bytes = write_gguf(file, all, tensors);
    return std::move(saved_);
  }

 private:
  GgufMetadata general() const {
    std::string name = options_->name;
    if (name.empty()) {
      const auto path = std::filesystem::absolute(source_->files.path()).lexically_normal();
      name = (path.has_filename() ? path : path.parent_path()).stem().string();
    }
    GgufMetadata metadata = {{"general.architecture", model_.architecture},
                             {"general.type", std::string("model")},
                             {"general.name", name},
                             {"general.file_type", file_type_}};
    if (options_->format->block > 1) metadata.emplace_back("general.quantization_version", std::uint32_t{2});
    return metadata;
  }

  void add_tokenizer(GgufMetadata& all) {
    const ModelFiles& files = source_->files;
    const Extent rows = model_.decoder.vocab_size;
    const std::vector<Index> ends = eos_ids_in(files, rows).value_or(std::vector<Index>{});
    GgufTokenizerMetadata keys;
    if (has_tokenizer(files)) {
      keys = gguf_tokenizer_metadata(files, *load_tokenizer(files), rows, ends);
    } else {
      keys.notices.push_back("the model has no tokenizer: programs that read the file can take token ids alone");
      if (!ends.empty())
        keys.metadata.emplace_back("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(ends.front()));
    }
    const auto value_of = [&](std::string_view key) {
      const auto found = std::ranges::find(keys.metadata, key, &std::pair<std::string, GgufValue>::first);
      return found == keys.metadata.end() ? nullptr : &found->second;
    };
    if (const GgufValue* pre = value_of("tokenizer.ggml.pre")) saved_.pre_tokenizer = std::get<std::string>(*pre);
    constexpr const char* padding = "tokenizer.ggml.padding_token_id";
    if (const auto row = model_.decoder.padding_row; row && value_of(padding) == nullptr)
      keys.metadata.emplace_back(padding, static_cast<std::uint32_t>(*row));
    all.insert(all.end(), std::make_move_iterator(keys.metadata.begin()), std::make_move_iterator(keys.metadata.end()));
    saved_.notices.insert(saved_.notices.end(), keys.notices.begin(), keys.notices.end());
  }

  std::vector<GgufTensorToWrite> tensors_to_write() {
    std::vector<GgufTensorToWrite> tensors;
    std::size_t in_half = 0;
    for (std::size_t i = 0; i < table_.rows.size(); ++i) {
      const TensorRow& row = table_.rows[i];
      const StorageFormat* const format = format_of(row);
      if (format != options_->format && format->name == "F16") ++in_half;
      tensors.push_back({row.gguf.name, format, row.shape, [this, i, format](const ByteSink& sink) {
                           const TensorRow& of = table_.rows[i];
                           std::size_t elements = 1;
                           for (const Extent extent : of.shape) elements *= static_cast<std::size_t>(extent);
                           std::vector<float> values(elements);
                           stored_.read<float>(static_cast<ParameterId>(i), values);
                           to_gguf(of, values);
                           hand_over_blocks(of.name, *format, values, sink);
                         }});
    }
    if (in_half > 0) {
      saved_.notices.push_back(text(in_half, " tensors are in F16, since their rows are no multiple of ",
                                    options_->format->block, " elements"));
    }
    if (!model_.factors.empty()) {
      tensors.push_back({std::string(gguf_rotary_factors),
                         find_storage_format("F32"),
                         {static_cast<Extent>(model_.factors.size())},
                         [this](const ByteSink& sink) { sink(std::as_bytes(std::span(model_.factors))); }});
    }
    return tensors;
  }

  /// As llama.cpp's converter chooses.
  const StorageFormat* format_of(const TensorRow& row) const {
    if (row.shape.size() == 1 || row.role == TensorRole::position_embedding) return find_storage_format("F32");
    const bool fits = row.shape.back() % static_cast<Extent>(options_->format->block) == 0;
    return fits ? options_->format : find_storage_format("F16");
  }

  const ModelSource* source_;
  StoredWeights stored_;
  const GgufOptions* options_;
  std::uint32_t file_type_;
  GgufModel model_;
  TensorTable table_;
  SavedGguf saved_;
};

}  // namespace detail

GREENTRAINER_INLINE SavedGguf save_gguf(const std::filesystem::path& model, const std::filesystem::path& file,
                                        const GgufOptions& options) {
  std::error_code error;
  if (std::filesystem::exists(model / "adapter_config.json", error) && !Checkpoint::has_weights(model)) {
    throw ConfigError("save_gguf", model.string(),
                      "expected a model's folder or a GGUF file, got an adapter's folder; merge the adapter into its "
                      "model first");
  }
  const ModelSource source = open_model("save_gguf", model);
  const auto config = ConfigReader::from_files(source.files, "config.json");
  const auto checkpoint = source.checkpoint();
  const DType dtype = element_type_of(config, *checkpoint);
  SavedGguf saved;
  KnownArchitectures::read(config, [&](const auto& described) {
    if constexpr (std::is_same_v<std::decay_t<decltype(described)>, CausalDecoder>) {
      const CausalDecoder decoder = as_stored(described, checkpoint, dtype);
      GgufModel in_gguf = gguf_model(decoder, source.files.source("config.json"));
      StoredWeights stored(checkpoint, dtype, decoder.tensors());
      stored.match();
      saved = detail::GgufExport(source, std::move(in_gguf), std::move(stored), options).write(file);
    } else {
      throw ConfigError("save_gguf", text(config.source(), ", field \"model_type\""),
                        text("expected a model that only decodes and that GGUF files are written of, got ",
                             config.get<std::string>("model_type")));
    }
  });
  return saved;
}

}  // namespace greentrainer
