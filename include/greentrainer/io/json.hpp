#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <nlohmann/json.hpp>

#include "greentrainer/core/error.hpp"
#include "greentrainer/io/file.hpp"

namespace greentrainer {

using Json = nlohmann::json;

/// Keeps the order of its keys, for files that are read, changed and written back. Searches keys one by one: for small objects.
using OrderedJson = nlohmann::ordered_json;

/// Nesting beyond this is refused: no file we read comes near it, and deep nesting is how small files exhaust a stack.
inline constexpr std::size_t max_json_depth = 100;

/// Keys of one OrderedJson object beyond this are refused: building it takes time quadratic in them.
inline constexpr std::size_t max_ordered_json_keys = 20000;

namespace detail {

inline std::size_t json_line_of(std::string_view text, std::size_t byte) {
  const auto end = text.begin() + static_cast<std::ptrdiff_t>(std::min(byte, text.size()));
  return 1 + static_cast<std::size_t>(std::count(text.begin(), end, '\n'));
}

/// The parser itself does not recurse, but what walks its result does: so depth is checked before anything is built.
inline void check_json_depth(std::string_view text, std::string_view source) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > max_json_depth) {
        throw LoadError("parse_json", greentrainer::text(source, ", line ", json_line_of(text, i), ": expected JSON nested at most ", max_json_depth,
                                                         " deep, got more; is the file damaged?"));
      }
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
}

}  // namespace detail

/// Parses one JSON value. `source_name` says where the text is from, for errors. A repeated key in an object is an error: readers differ in
/// which of the two they take. Throws LoadError naming source, line and byte.
template <class J = Json>
J parse_json(std::string_view text, std::string_view source_name) {
  using Event = typename J::parse_event_t;
  detail::check_json_depth(text, source_name);
  std::vector<std::unordered_set<std::string>> keys;  // of the objects that are open
  const auto check_keys = [&](int, Event event, J& parsed) {
    if (event == Event::object_start) {
      keys.emplace_back();
    } else if (event == Event::object_end) {
      keys.pop_back();
    } else if (event == Event::key) {
      const auto& key = parsed.template get_ref<const std::string&>();
      if (!keys.back().insert(key).second) {
        throw LoadError("parse_json", greentrainer::text(source_name, ": expected every key once in an object, got \"", key, "\" twice"));
      }
      if constexpr (std::is_same_v<J, OrderedJson>) {
        if (keys.back().size() > max_ordered_json_keys) {
          throw LoadError("parse_json",
                          greentrainer::text(source_name, ": expected at most ", max_ordered_json_keys, " keys in an object, got more"));
        }
      }
    }
    return true;
  };
  try {
    return J::parse(text.begin(), text.end(), check_keys);
  } catch (const typename J::parse_error& error) {
    throw LoadError("parse_json",
                    greentrainer::text(source_name, ", line ", detail::json_line_of(text, error.byte), ": expected JSON, got something else at byte ",
                                       error.byte, "; is the file truncated or not JSON?"));
  } catch (const typename J::exception&) {  // numbers beyond double
    throw LoadError("parse_json", greentrainer::text(source_name, ": expected JSON with numbers in range, got one beyond it"));
  }
}

/// Reads and parses a file of at most `limit` bytes. Throws LoadError naming the file.
template <class J = Json>
J read_json_file(const std::filesystem::path& path, Bytes limit = Bytes{256} << 20) {
  return parse_json<J>(read_file(path, limit), path.string());
}

}  // namespace greentrainer
