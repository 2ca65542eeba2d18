#pragma once

#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/model_files.hpp"

namespace greentrainer {

/// Reads the fields of a model's config.json and remembers which ones were looked at, so that a field that nobody
/// understands can be refused instead of ignored. A field that is null counts as absent, as in transformers. Every
/// error is a ConfigError that names file and field.
class ConfigReader {
 public:
  /// `source` is the file's name, for errors. Throws ConfigError unless `object` is a JSON object.
  ConfigReader(Json object, std::string source) : object_(std::move(object)), source_(std::move(source)) {
    if (!object_.is_object())
      throw ConfigError("config", source_, text("expected a JSON object, got ", object_.type_name()));
  }

  /// Reads a file such as config.json. Throws LoadError or ConfigError.
  static ConfigReader from_file(const std::filesystem::path& path) {
    return {read_json_file(path, Bytes{16} << 20), path.string()};
  }

  /// The same of a model's files.
  static ConfigReader from_files(const ModelFiles& files, std::string_view name) {
    return {parse_json(files.read(name, Bytes{16} << 20), files.source(name)), files.source(name)};
  }

  const std::string& source() const { return source_; }

  /// Whether the field is there and not null.
  bool has(std::string_view key) const { return find(key) != nullptr; }

  /// Whether the field is there and null: for fields where a file without it means something else.
  bool is_null(std::string_view key) const {
    const auto found = object_.find(key);
    return found != object_.end() && found->is_null();
  }

  /// Whether the field says nothing: absent, null, false, or an empty list, object or text.
  bool is_off(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr || *value == Json(false)) return true;
    return value->is_string() ? value->get<std::string>().empty() : value->is_structured() && value->empty();
  }

  /// Whether the field is there with this value, is a text, or is an object.
  bool is(std::string_view key, const Json& value) const {
    const Json* found = find(key);
    return found != nullptr && *found == value;
  }
  bool is_text(std::string_view key) const {
    const Json* found = find(key);
    return found != nullptr && found->is_string();
  }
  bool is_object(std::string_view key) const {
    const Json* found = find(key);
    return found != nullptr && found->is_object();
  }

  /// A field that must be there, as bool, an integer, a floating-point number, std::string, or std::vector of one of
  /// them, or as it stands in the file (Json). Floating-point numbers are finite.
  template <class T>
  T get(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr)
      throw ConfigError("config", subject(key),
                        text("expected ", type_text<T>(), ", got nothing; is this the right file?"));
    return convert<T>(key, *value);
  }

  /// The same, or `fallback` where the field is absent or null.
  template <class T>
  T get_or(std::string_view key, T fallback) const {
    const Json* value = find(key);
    return value == nullptr ? fallback : convert<T>(key, *value);
  }

  /// A list, or one value that stands for a list of one.
  template <class T>
  std::vector<T> get_one_or_list(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr || value->is_array()) return get<std::vector<T>>(key);
    return {convert<T>(key, *value)};
  }

  /// An integer in [1, max].
  Extent positive(std::string_view key, Extent max = std::numeric_limits<Index>::max()) const {
    return in_range(key, get<Extent>(key), max);
  }
  Extent positive_or(std::string_view key, Extent fallback, Extent max = std::numeric_limits<Index>::max()) const {
    return has(key) ? positive(key, max) : fallback;
  }

  /// A field that changes the mathematics and that we know with one value only (absent counts as that value).
  template <class T>
  void expect_value(std::string_view key, const T& allowed) const {
    const Json* value = find(key);
    if (value == nullptr || *value == Json(allowed)) return;
    throw ConfigError(
        "config", subject(key),
        text("expected ", Json(allowed).dump(), ", got ", shown(*value), "; other values are not supported"));
  }

  /// A field whose presence (other than null) we cannot honour.
  void refuse(std::string_view key, std::string_view why) const {
    const Json* value = find(key);
    if (value != nullptr)
      throw ConfigError("config", subject(key), text("expected nothing, got ", shown(*value), "; ", why));
  }

  /// Fields that do not change the mathematics (names, dropout while it is off, settings of generation).
  void ignore(std::initializer_list<std::string_view> keys) const {
    for (auto key : keys) consumed_.emplace(key);
  }

  /// An object within the object; nothing where it is absent. Its own unread fields are its own.
  std::optional<ConfigReader> section(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    return ConfigReader(*value, text(source_, ", field \"", key, '"'));
  }

  /// Whether a call above has asked for the field.
  bool was_read(std::string_view key) const { return consumed_.contains(key); }
  /// Fields, other than null, that none of the calls above has asked for.
  std::vector<std::string> unread() const {
    std::vector<std::string> keys;
    for (const auto& [key, value] : object_.items()) {
      if (!value.is_null() && !consumed_.contains(key)) keys.push_back(key);
    }
    return keys;
  }

 private:
  const Json* find(std::string_view key) const {
    consumed_.emplace(key);
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  template <class T>
  struct Element;
  template <class T>
  struct Element<std::vector<T>> {
    using type = T;
  };

  template <class T>
  static std::string type_text() {
    if constexpr (std::is_same_v<T, bool>)
      return "true or false";
    else if constexpr (std::is_same_v<T, Json>)
      return "a value";
    else if constexpr (std::is_integral_v<T>)
      return "an integer";
    else if constexpr (std::is_floating_point_v<T>)
      return "a number";
    else if constexpr (std::is_same_v<T, std::string>)
      return "a text";
    else
      return "a list of " + type_text<typename Element<T>::type>();
  }

  template <class T>
  T convert(std::string_view key, const Json& value) const {
    if constexpr (std::is_same_v<T, bool>) {
      if (value.is_boolean()) return value.get<bool>();
    } else if constexpr (std::is_integral_v<T>) {
      if (value.is_number_unsigned() && std::in_range<T>(value.get<std::uint64_t>()))
        return static_cast<T>(value.get<std::uint64_t>());
      if (value.is_number_integer() && !value.is_number_unsigned() && std::in_range<T>(value.get<std::int64_t>())) {
        return static_cast<T>(value.get<std::int64_t>());
      }
    } else if constexpr (std::is_floating_point_v<T>) {
      if (value.is_number() && std::isfinite(value.get<T>())) return value.get<T>();
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (value.is_string()) return value.get<std::string>();
    } else if constexpr (std::is_same_v<T, Json>) {
      return value;
    } else {
      if (value.is_array()) {
        T list;
        for (const Json& item : value) list.push_back(convert<typename Element<T>::type>(key, item));
        return list;
      }
    }
    throw ConfigError("config", subject(key), text("expected ", type_text<T>(), ", got ", shown(value)));
  }

  Extent in_range(std::string_view key, Extent value, Extent max) const {
    if (value < 1 || value > max)
      throw ConfigError("config", subject(key), text("expected an integer from 1 to ", max, ", got ", value));
    return value;
  }

  std::string subject(std::string_view key) const { return text(source_, ", field \"", key, '"'); }

  static std::string shown(const Json& value) {
    auto dumped = value.dump(-1, ' ', true);
    if (dumped.size() > 80) dumped = dumped.substr(0, 77) + "...";
    return dumped;
  }

  Json object_;
  std::string source_;
  mutable std::set<std::string, std::less<>> consumed_;
};

}  // namespace greentrainer
