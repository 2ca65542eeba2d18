#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "greentrainer/core/secret_hash.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

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

/// Builds a value while a text is read, and looks at its keys before they are in it.
template <class J>
class JsonBuilder {
 public:
  JsonBuilder(std::string_view text, std::string_view source) : text_(text), source_(source) {}

  J take() { return std::move(root_); }

  bool null() { return add(J(nullptr)); }
  bool boolean(bool value) { return add(J(value)); }
  bool number_integer(typename J::number_integer_t value) { return add(J(value)); }
  bool number_unsigned(typename J::number_unsigned_t value) { return add(J(value)); }
  bool number_float(typename J::number_float_t value, const typename J::string_t&) { return add(J(value)); }
  bool string(typename J::string_t& value) { return add(J(std::move(value))); }
  bool binary(typename J::binary_t& value) { return add(J(std::move(value))); }  // JSON has none
  bool start_array(std::size_t) { return open(J::value_t::array); }
  bool end_array() { return close(); }
  bool start_object(std::size_t) {
    keys_.emplace_back();
    return open(J::value_t::object);
  }
  bool end_object() {
    keys_.pop_back();
    return close();
  }
  bool key(typename J::string_t& key) {
    if (!keys_.back().insert(key).second) {
      throw LoadError("parse_json", source_,
                      greentrainer::text("expected every key once in an object, got \"", key, "\" twice"));
    }
    if (std::is_same_v<J, OrderedJson> && keys_.back().size() > max_ordered_json_keys) {
      throw LoadError("parse_json", source_,
                      greentrainer::text("expected at most ", max_ordered_json_keys, " keys in an object, got more"));
    }
    member_ = &(*open_.back())[key];
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& error) {
    constexpr int number_out_of_range = 406;
    if (error.id == number_out_of_range)
      throw LoadError("parse_json", source_, "expected JSON with numbers in range, got one beyond it");
    throw JsonSyntaxError(
        "parse_json", greentrainer::text(source_, ", line ", json_line_of(text_, byte)),
        greentrainer::text("expected JSON, got something else at byte ", byte, "; is the file truncated or not JSON?"));
  }

 private:
  /// Where a value belongs: the whole, the end of an array, or the member whose key was read last.
  J& place() {
    if (open_.empty()) return root_;
    if (!open_.back()->is_array()) return *member_;
    return open_.back()->emplace_back();
  }
  bool add(J&& value) {
    place() = std::move(value);
    return true;
  }
  bool open(typename J::value_t kind) {
    J& value = place();
    value = kind;
    open_.push_back(&value);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_, source_;
  J root_;
  std::vector<J*> open_;  // from the whole inwards; what holds an open one does not grow until it is closed
  J* member_ = nullptr;
  std::vector<StringSet> keys_;  // of the objects that are open
};

}  // namespace detail

template <class J>
J parse_json(std::string_view text, std::string_view source_name) {
  detail::check_json_depth(text, source_name);
  detail::JsonBuilder<J> builder(text, source_name);
  J::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

#ifdef GREENTRAINER_COMPILED
template Json parse_json<Json>(std::string_view text, std::string_view source_name);
template OrderedJson parse_json<OrderedJson>(std::string_view text, std::string_view source_name);
#endif

}  // namespace greentrainer
