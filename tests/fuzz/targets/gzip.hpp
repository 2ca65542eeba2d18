#pragma once

// reader: io/gzip.hpp

#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/gzip.hpp"

namespace greentrainer::fuzz {

/// A compressed file of data, of at most 1 MiB when it is decompressed.
inline void gzip(std::string_view input) { decompress_gzip(input, Bytes{1} << 20, "rows.gz"); }

}  // namespace greentrainer::fuzz
