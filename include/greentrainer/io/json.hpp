#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/io/file.hpp"
#include "greentrainer/io/json_fwd.hpp"

namespace greentrainer {

/// A text that is no JSON, as against JSON that is refused.
class JsonSyntaxError : public LoadError {
 public:
  using LoadError::LoadError;
};

/// Nesting beyond this is refused: no file we read comes near it, and deep nesting is how small files exhaust a stack.
inline constexpr std::size_t max_json_depth = 100;

/// Keys of one OrderedJson object beyond this are refused: building it takes time quadratic in them.
inline constexpr std::size_t max_ordered_json_keys = 20000;

/// Parses one JSON value. `source_name` says where the text is from, for errors. A repeated key in an object is an
/// error: readers differ in which of the two they take. Throws LoadError naming source, line and byte; JsonSyntaxError
/// for what is no JSON.
template <class J = Json>
J parse_json(std::string_view text, std::string_view source_name);

/// Reads and parses a file of at most `limit` bytes. Throws LoadError naming the file.
template <class J = Json>
J read_json_file(const std::filesystem::path& path, Bytes limit = Bytes{256} << 20, FileKind kind = FileKind::regular) {
  return parse_json<J>(read_file(path, limit, kind), path.string());
}

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/io/json_inl.hpp"
#endif
