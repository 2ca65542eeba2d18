#pragma once

#include <cmath>
#include <map>
#include <string>
#include <string_view>

#include "greentrainer/cost/operator_times.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

/// Times as a file keeps them.
inline Json json_of(const OperatorTimes& times) {
  Json parts = Json::object();
  for (const auto& [key, time] : times.parts) parts[key] = {time.per_unit, time.per_pass};
  return {{"parts", parts},
          {"per_pass", times.per_pass},
          {"per_update", times.per_update},
          {"per_clipped", times.per_clipped}};
}

namespace detail {

/// A time in picoseconds. Throws LoadError naming `source` and `field`.
inline double read_picoseconds(const Json& json, std::string_view source, const std::string& field) {
  const double value = json.is_number() ? json.get<double>() : -1;
  if (!(value >= 0) || value > 1e18)
    throw LoadError("operator_times", text(source, ", ", field),
                    text("expected picoseconds from 0 to 1e18, got ", json.dump()));
  return value;
}

inline const Json& field_of(const Json& json, std::string_view source, const char* field, bool is_object) {
  const auto found = json.is_object() ? json.find(field) : json.end();
  if (found == json.end() || (is_object && !found->is_object()))
    throw LoadError("operator_times", source,
                    text("expected ", is_object ? "an object " : "", "\"", field, "\", got none"));
  return *found;
}

}  // namespace detail

/// The other way round. Throws LoadError naming `source` for anything else.
inline OperatorTimes operator_times_of(const Json& json, std::string_view source) {
  const auto number = [&](const Json& value, const std::string& field) {
    return detail::read_picoseconds(value, source, field);
  };
  OperatorTimes times;
  for (const auto& [key, value] : detail::field_of(json, source, "parts", true).items()) {
    if (!value.is_array() || value.size() != 2)
      throw LoadError("operator_times", text(source, ", ", key), "expected two numbers, got something else");
    times.parts[key] = {.per_unit = number(value[0], key), .per_pass = number(value[1], key)};
  }
  for (const auto& [key, value] : detail::field_of(json, source, "per_update", true).items())
    times.per_update[key] = number(value, key);
  times.per_pass = number(detail::field_of(json, source, "per_pass", false), "per_pass");
  times.per_clipped = number(detail::field_of(json, source, "per_clipped", false), "per_clipped");
  return times;
}

}  // namespace greentrainer
