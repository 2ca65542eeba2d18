#pragma once

#include <cmath>
#include <utility>

#include "greentrainer/core/error.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

namespace detail {

/// What a field of this type should be, for errors.
template <ConfigValue T>
std::string config_type_text() {
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
    return "a list of " + config_type_text<typename T::value_type>();
}

}  // namespace detail

GREENTRAINER_INLINE ConfigConstant::ConfigConstant(const Json& value) : json_(std::make_shared<const Json>(value)) {}
GREENTRAINER_INLINE ConfigConstant::ConfigConstant(Tag, bool value) : json_(std::make_shared<const Json>(value)) {}
GREENTRAINER_INLINE ConfigConstant::ConfigConstant(Tag, std::int64_t value)
    : json_(std::make_shared<const Json>(value)) {}
GREENTRAINER_INLINE ConfigConstant::ConfigConstant(Tag, double value) : json_(std::make_shared<const Json>(value)) {}
GREENTRAINER_INLINE ConfigConstant::ConfigConstant(Tag, const std::string& value)
    : json_(std::make_shared<const Json>(value)) {}

GREENTRAINER_INLINE ConfigReader::ConfigReader(Json object, std::string source)
    : object_(std::make_shared<const Json>(std::move(object))), source_(std::move(source)) {
  if (!object_->is_object())
    throw ConfigError("config", source_, text("expected a JSON object, got ", object_->type_name()));
}

GREENTRAINER_INLINE ConfigReader ConfigReader::from_file(const std::filesystem::path& path) {
  return {read_json_file(path, Bytes{16} << 20), path.string()};
}

GREENTRAINER_INLINE ConfigReader ConfigReader::from_files(const ModelFiles& files, std::string_view name) {
  return {parse_json(files.read(name, Bytes{16} << 20), files.source(name)), files.source(name)};
}

GREENTRAINER_INLINE bool ConfigReader::is_null(std::string_view key) const {
  const auto found = object_->find(key);
  return found != object_->end() && found->is_null();
}

GREENTRAINER_INLINE bool ConfigReader::is_off(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || *value == Json(false)) return true;
  return value->is_string() ? value->get<std::string>().empty() : value->is_structured() && value->empty();
}

GREENTRAINER_INLINE bool ConfigReader::is(std::string_view key, const ConfigConstant& value) const {
  const Json* found = find(key);
  return found != nullptr && *found == value.json();
}

GREENTRAINER_INLINE bool ConfigReader::is_text(std::string_view key) const {
  const Json* found = find(key);
  return found != nullptr && found->is_string();
}

GREENTRAINER_INLINE bool ConfigReader::is_object(std::string_view key) const {
  const Json* found = find(key);
  return found != nullptr && found->is_object();
}

GREENTRAINER_INLINE bool ConfigReader::is_list(std::string_view key) const {
  const Json* found = find(key);
  return found != nullptr && found->is_array();
}

template <ConfigValue T>
T ConfigReader::get(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr)
    throw ConfigError("config", subject(key),
                      text("expected ", detail::config_type_text<T>(), ", got nothing; is this the right file?"));
  return convert<T>(key, *value);
}

template <class T>
T ConfigReader::convert(std::string_view key, const Json& value) const {
  if constexpr (std::is_same_v<T, bool>) {
    if (value.is_boolean()) return value.get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    if (value.is_number_unsigned() && std::in_range<T>(value.get<std::uint64_t>()))
      return static_cast<T>(value.get<std::uint64_t>());
    if (value.is_number_integer() && !value.is_number_unsigned() && std::in_range<T>(value.get<std::int64_t>()))
      return static_cast<T>(value.get<std::int64_t>());
  } else if constexpr (std::is_floating_point_v<T>) {
    if (value.is_number() && std::isfinite(value.get<T>())) return value.get<T>();
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (value.is_string()) return value.get<std::string>();
  } else if constexpr (std::is_same_v<T, Json>) {
    return value;
  } else {
    if (value.is_array()) {
      T list;
      for (const Json& item : value) list.push_back(convert<typename T::value_type>(key, item));
      return list;
    }
  }
  throw ConfigError("config", subject(key), text("expected ", detail::config_type_text<T>(), ", got ", shown(value)));
}

#ifdef GREENTRAINER_COMPILED
#define GREENTRAINER_CONFIG_VALUE(T)                       \
  template T ConfigReader::get<T>(std::string_view) const; \
  template std::vector<T> ConfigReader::get<std::vector<T>>(std::string_view) const;
GREENTRAINER_CONFIG_VALUE(bool)
GREENTRAINER_CONFIG_VALUE(std::int32_t)
GREENTRAINER_CONFIG_VALUE(std::int64_t)
GREENTRAINER_CONFIG_VALUE(std::uint64_t)
GREENTRAINER_CONFIG_VALUE(double)
GREENTRAINER_CONFIG_VALUE(std::string)
#undef GREENTRAINER_CONFIG_VALUE
template Json ConfigReader::get<Json>(std::string_view) const;
#endif

GREENTRAINER_INLINE void ConfigReader::expect_value(std::string_view key, const ConfigConstant& allowed) const {
  const Json* value = find(key);
  if (value == nullptr || *value == allowed.json()) return;
  throw ConfigError(
      "config", subject(key),
      text("expected ", allowed.json().dump(), ", got ", shown(*value), "; other values are not supported"));
}

GREENTRAINER_INLINE std::string ConfigReader::subject(std::string_view key) const {
  return text(source_, ", field \"", key, '"');
}

GREENTRAINER_INLINE Extent ConfigReader::positive(std::string_view key, Extent max) const {
  return in_range(key, get<Extent>(key), max);
}

GREENTRAINER_INLINE Extent ConfigReader::positive_or(std::string_view key, Extent fallback, Extent max) const {
  return has(key) ? positive(key, max) : fallback;
}

GREENTRAINER_INLINE void ConfigReader::refuse(std::string_view key, std::string_view why) const {
  const Json* value = find(key);
  if (value != nullptr)
    throw ConfigError("config", subject(key), text("expected nothing, got ", shown(*value), "; ", why));
}

GREENTRAINER_INLINE void ConfigReader::ignore(std::initializer_list<std::string_view> keys) const {
  for (auto key : keys) consumed_.emplace(key);
}

GREENTRAINER_INLINE std::optional<ConfigReader> ConfigReader::section(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  return ConfigReader(*value, text(source_, ", field \"", key, '"'));
}

GREENTRAINER_INLINE std::vector<std::string> ConfigReader::unread() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object_->items()) {
    if (!value.is_null() && !consumed_.contains(key)) keys.push_back(key);
  }
  return keys;
}

GREENTRAINER_INLINE const Json* ConfigReader::find(std::string_view key) const {
  consumed_.emplace(key);
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

GREENTRAINER_INLINE Extent ConfigReader::in_range(std::string_view key, Extent value, Extent max) const {
  if (value < 1 || value > max)
    throw ConfigError("config", subject(key), text("expected an integer from 1 to ", max, ", got ", value));
  return value;
}

GREENTRAINER_INLINE std::string ConfigReader::shown(const Json& value) {
  auto dumped = value.dump(-1, ' ', true);
  if (dumped.size() > 80) dumped = dumped.substr(0, 77) + "...";
  return dumped;
}

}  // namespace greentrainer
