#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/compiled.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/io/config_reader.hpp"

namespace greentrainer {

/// Deals with what all architectures' config.json files have in common: fields that do not change a training step are
/// passed over (docs/loading.md lists them), fields that do and are known are held to the value implemented here, and
/// whatever has not been read after that is refused by name. To be called last.
void finish_config(const ConfigReader& config);

/// A positive field that has two names. Throws ConfigError if it has neither, or both with different values.
Extent positive_of(const ConfigReader& config, std::string_view name, std::string_view other_name, Extent max);

/// The activation of a Hugging Face name. Throws ConfigError for one that is not implemented.
Activation activation_named(const ConfigReader& config, std::string_view field, const std::string& name);
Activation activation_from(const ConfigReader& config, std::string_view field, const std::string& fallback);

/// A norm's epsilon: 0 to 1. More leaves nothing of the values.
double epsilon_from(const ConfigReader& config, std::string_view field, double fallback);

/// The row of the token embedding that looking up the padding token gives no gradient, for architectures whose
/// embedding transformers makes with padding_idx = pad_token_id: no row where the field is null; a negative id counts
/// from the end of the vocabulary, as PyTorch has it. `fallback` is transformers' own id for a file without the field.
std::optional<Extent> padding_row_from(const ConfigReader& config, Extent vocabulary, std::optional<Extent> fallback);

/// Throws if heads of this size are wider together than a model may be.
void require_width(const ConfigReader& config, std::string_view what, Extent heads, std::string_view size,
                   Extent head_size, Extent most);

/// Throws unless `heads` divides `width`.
void require_divisible(const ConfigReader& config, std::string_view what, Extent width, std::string_view by,
                       Extent heads);

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/models/config_fields_inl.hpp"
#endif
