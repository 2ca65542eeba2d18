#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/secret_hash.hpp"
#include "greentrainer/io/file.hpp"

namespace greentrainer {

using Json = nlohmann::json;

/// Keeps the order of its keys, for files that are read, changed and written back. Searches keys one by one: for small
/// objects.
using OrderedJson = nlohmann::ordered_json;

/// A text that is no JSON, as against JSON that is refused.
class JsonSyntaxError : public LoadError {
 public:
  using LoadError::LoadError;
};

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
        throw LoadError("parse_json", greentrainer::text(source, ", line ", json_line_of(text, i)),
                        greentrainer::text("expected JSON nested at most ", max_json_depth,
                                           " deep, got more; is the file damaged?"));
      }
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
}

/// Passes over a text and looks at its keys alone. (A parse with a callback would do, if it did not look through all of
/// an object or array again whenever something in it ends.)
template <class J>
class JsonKeyCheck : public nlohmann::json_sax<J> {
 public:
  explicit JsonKeyCheck(std::string_view source) : source_(source) {}

  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return true;
  }
  bool key(typename J::string_t& key) override {
    if (!keys_.back().insert(key).second) {
      throw LoadError("parse_json", source_, text("expected every key once in an object, got \"", key, "\" twice"));
    }
    if (std::is_same_v<J, OrderedJson> && keys_.back().size() > max_ordered_json_keys) {
      throw LoadError("parse_json", source_,
                      text("expected at most ", max_ordered_json_keys, " keys in an object, got more"));
    }
    return true;
  }
  bool end_object() override {
    keys_.pop_back();
    return true;
  }
  /// Syntax errors are reported by the parser.
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(typename J::number_integer_t) override { return true; }
  bool number_unsigned(typename J::number_unsigned_t) override { return true; }
  bool number_float(typename J::number_float_t, const typename J::string_t&) override { return true; }
  bool string(typename J::string_t&) override { return true; }
  bool binary(typename J::binary_t&) override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }

 private:
  std::string_view source_;
  std::vector<StringSet> keys_;  // of the objects that are open
};

}  // namespace detail

/// Parses one JSON value. `source_name` says where the text is from, for errors. A repeated key in an object is an
/// error: readers differ in which of the two they take. Throws LoadError naming source, line and byte; JsonSyntaxError
/// for what is no JSON.
template <class J = Json>
J parse_json(std::string_view text, std::string_view source_name) {
  detail::check_json_depth(text, source_name);
  detail::JsonKeyCheck<J> keys(source_name);
  J::sax_parse(text.begin(), text.end(), &keys);
  try {
    return J::parse(text.begin(), text.end());
  } catch (const typename J::parse_error& error) {
    throw JsonSyntaxError("parse_json",
                          greentrainer::text(source_name, ", line ", detail::json_line_of(text, error.byte)),
                          greentrainer::text("expected JSON, got something else at byte ", error.byte,
                                             "; is the file truncated or not JSON?"));
  } catch (const typename J::exception&) {  // numbers beyond double
    throw LoadError("parse_json", source_name, "expected JSON with numbers in range, got one beyond it");
  }
}

/// Reads and parses a file of at most `limit` bytes. Throws LoadError naming the file.
template <class J = Json>
J read_json_file(const std::filesystem::path& path, Bytes limit = Bytes{256} << 20, FileKind kind = FileKind::regular) {
  return parse_json<J>(read_file(path, limit, kind), path.string());
}

}  // namespace greentrainer
