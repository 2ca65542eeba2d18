#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/core/types.hpp"
#include "greentrainer/io/json_fwd.hpp"
#include "greentrainer/io/model_files.hpp"

namespace greentrainer {

/// What a field can be read as: one of these, a list of them, or as it stands in the file (Json).
template <class T>
concept ConfigScalar = std::same_as<T, bool> || std::same_as<T, std::int32_t> || std::same_as<T, std::int64_t> ||
    std::same_as<T, std::uint64_t> || std::same_as<T, double> || std::same_as<T, std::string>;
template <class T>
concept ConfigValue = ConfigScalar<T> || std::same_as<T, Json> ||
    (ConfigScalar<typename T::value_type>&& std::same_as<T, std::vector<typename T::value_type>>);

/// What a field is compared with: true or false, a number, a text, or any JSON.
class ConfigConstant {
 public:
  template <ConfigScalar T>
  ConfigConstant(const T& value) : ConfigConstant(Tag{}, Kept<T>(value)) {}
  ConfigConstant(const char* value) : ConfigConstant(Tag{}, std::string(value)) {}
  ConfigConstant(const Json& value);

  const Json& json() const { return *json_; }

 private:
  struct Tag {};
  template <class T>
  using Kept = std::conditional_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, std::int64_t, T>;

  ConfigConstant(Tag, bool value);
  ConfigConstant(Tag, std::int64_t value);
  ConfigConstant(Tag, double value);
  ConfigConstant(Tag, const std::string& value);

  std::shared_ptr<const Json> json_;
};

/// Reads the fields of a model's config.json and remembers which ones were looked at, so that a field that nobody
/// understands can be refused instead of ignored. A field that is null counts as absent, as in transformers. Every
/// error is a ConfigError that names file and field.
class ConfigReader {
 public:
  /// `source` is the file's name, for errors. Throws ConfigError unless `object` is a JSON object.
  ConfigReader(Json object, std::string source);

  /// Reads a file such as config.json. Throws LoadError or ConfigError.
  static ConfigReader from_file(const std::filesystem::path& path);

  /// The same of a model's files.
  static ConfigReader from_files(const ModelFiles& files, std::string_view name);

  const std::string& source() const { return source_; }

  /// Whether the field is there and not null.
  bool has(std::string_view key) const { return find(key) != nullptr; }

  /// Whether the field is there and null: for fields where a file without it means something else.
  bool is_null(std::string_view key) const;

  /// Whether the field says nothing: absent, null, false, or an empty list, object or text.
  bool is_off(std::string_view key) const;

  /// Whether the field is there with this value, is a text, an object, or a list.
  bool is(std::string_view key, const ConfigConstant& value) const;
  bool is_text(std::string_view key) const;
  bool is_object(std::string_view key) const;
  bool is_list(std::string_view key) const;

  /// A field that must be there. Floating-point numbers are finite.
  template <ConfigValue T>
  T get(std::string_view key) const;

  /// The same, or `fallback` where the field is absent or null.
  template <ConfigValue T>
  T get_or(std::string_view key, T fallback) const {
    return has(key) ? get<T>(key) : fallback;
  }

  /// A list, or one value that stands for a list of one.
  template <ConfigValue T>
  std::vector<T> get_one_or_list(std::string_view key) const {
    if (!has(key) || is_list(key)) return get<std::vector<T>>(key);
    return {get<T>(key)};
  }

  /// An integer in [1, max].
  Extent positive(std::string_view key, Extent max = std::numeric_limits<Index>::max()) const;
  Extent positive_or(std::string_view key, Extent fallback, Extent max = std::numeric_limits<Index>::max()) const;

  /// A field that changes the mathematics and that we know with one value only (absent counts as that value).
  void expect_value(std::string_view key, const ConfigConstant& allowed) const;

  /// A field whose presence (other than null) we cannot honour.
  void refuse(std::string_view key, std::string_view why) const;

  /// Fields that do not change the mathematics (names, dropout while it is off, settings of generation).
  void ignore(std::initializer_list<std::string_view> keys) const;

  /// An object within the object; nothing where it is absent. Its own unread fields are its own.
  std::optional<ConfigReader> section(std::string_view key) const;

  /// Whether a call above has asked for the field.
  bool was_read(std::string_view key) const { return consumed_.contains(key); }
  /// Fields, other than null, that none of the calls above has asked for.
  std::vector<std::string> unread() const;

 private:
  const Json* find(std::string_view key) const;

  template <class T>
  T convert(std::string_view key, const Json& value) const;

  Extent in_range(std::string_view key, Extent value, Extent max) const;

  std::string subject(std::string_view key) const;

  static std::string shown(const Json& value);

  std::shared_ptr<const Json> object_;
  std::string source_;
  mutable std::set<std::string, std::less<>> consumed_;
};

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/io/config_reader_inl.hpp"
#endif
