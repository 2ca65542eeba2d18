#pragma once

#include <string>

#include "greentrainer/core/types.hpp"
#include "greentrainer/train/training_options.hpp"

namespace greentrainer::program {

/// "2e" or "100s" for --reselect-every. Throws UsageError.
Interval parse_interval(const std::string& value);

/// "4GiB", "512MiB", "1000" for `flag` of a command: bytes, with KiB, MiB, GiB or TiB for powers of 1024. Throws
/// UsageError.
Bytes parse_bytes(const std::string& flag, const std::string& value, const std::string& command = "finetune");

}  // namespace greentrainer::program
