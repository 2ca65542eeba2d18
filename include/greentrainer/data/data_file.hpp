#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"
#include "greentrainer/io/file.hpp"
#include "greentrainer/io/gzip.hpp"

namespace greentrainer {

/// Files of data beyond this are refused, and compressed ones that would become larger.
inline constexpr Bytes max_data_bytes = Bytes{4} << 30;

/// The path that stands for standard input.
inline constexpr std::string_view standard_input = "-";

namespace data_file {

/// A kind of file that holds data, but not as text.
struct Kind {
  std::string_view begins;  ///< its first bytes
  std::string_view name;
  std::string_view advice;  ///< how to make JSON lines of it
};

inline constexpr std::string_view from_parquet =
    "convert it: python3 -c \"import datasets; "
    "datasets.Dataset.from_parquet('FILE').to_json('FILE.jsonl')\"";
inline constexpr std::string_view from_arrow =
    "convert it: python3 -c \"import datasets; datasets.Dataset.from_file('FILE').to_json('FILE.jsonl')\"";
inline constexpr std::string_view from_arrow_file =
    "convert it: python3 -c \"import pyarrow.feather as f; "
    "f.read_feather('FILE').to_json('FILE.jsonl', orient='records', lines=True)\"";

inline constexpr std::array other_kinds = {
    Kind{"PAR1", "a Parquet file", from_parquet},
    Kind{"ARROW1", "an Arrow (Feather) file", from_arrow_file},
    Kind{"\xFF\xFF\xFF\xFF", "an Arrow stream", from_arrow},
    Kind{"\x28\xB5\x2F\xFD", "a zstd file", "decompress it: zstd -d FILE"},
    Kind{"\xFD"
         "7zXZ",
         "an xz file", "decompress it: xz -d FILE"},
    Kind{"BZh", "a bzip2 file", "decompress it: bzip2 -d FILE"},
    Kind{"PK\x03\x04", "a zip file", "unpack it: unzip FILE"},
    Kind{"SQLite format 3", "an SQLite file", "write its rows as JSON lines"},
};

}  // namespace data_file

/// A data file's text, decompressed where it is gzip, without a byte order mark; pipes, and with "-" standard input,
/// are read to their end. Throws LoadError for a file that cannot be read or is too large, and for one that holds data
/// otherwise (Parquet, Arrow, other compression), saying how it is converted.
inline std::string read_data_file(const std::filesystem::path& path) {
  const bool piped = path == standard_input;
  std::string contents = read_file(piped ? "/dev/stdin" : path, max_data_bytes, FileKind::any);
  if (is_gzip(contents)) contents = decompress_gzip(contents, max_data_bytes, path.string());
  for (const data_file::Kind& kind : data_file::other_kinds) {
    if (contents.starts_with(kind.begins)) {
      throw LoadError("read_data_file", path.string(),
                      text("expected text or gzip, got ", kind.name, "; ", kind.advice));
    }
  }
  if (contents.starts_with("\xEF\xBB\xBF")) contents.erase(0, 3);
  return contents;
}

/// Whether a file holds lines of plain text, by its name: *.txt, or *.txt.gz.
inline bool is_plain_text(const std::filesystem::path& path) {
  return (path.extension() == ".gz" ? path.stem() : path).extension() == ".txt";
}

}  // namespace greentrainer
