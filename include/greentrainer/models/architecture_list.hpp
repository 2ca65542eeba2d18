#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "greentrainer/concepts/architecture.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/io/config_reader.hpp"

namespace greentrainer {

/// Architectures that are known by their model_type. Each entry is one of them or another list; the first that has the
/// type is taken.
template <class... Entries>
struct Architectures {
  /// Calls `visit(description)` with what config.json describes and returns what it returns. `visit` is instantiated
  /// once for each type of description: all that are a CausalDecoder share one. Throws ConfigError for a model_type
  /// that none has.
  template <class Visit>
  static auto read(const ConfigReader& config, Visit visit) {
    const auto type = config.get<std::string>("model_type");
    using Result = decltype(visit(first_description(config)));
    if constexpr (std::is_void_v<Result>) {
      if (!try_visit(config, type, [&](const auto& description) { visit(description); })) refuse(config, type);
    } else {
      std::optional<Result> result;
      if (!try_visit(config, type, [&](const auto& description) { result.emplace(visit(description)); }))
        refuse(config, type);
      return std::move(*result);
    }
  }

  static std::string names() {
    std::string list;
    ((list += (list.empty() ? "" : ", ") + names_of<Entries>()), ...);
    return list;
  }

  template <class Visit>
  static bool try_visit(const ConfigReader& config, const std::string& type, const Visit& visit) {
    return (try_entry<Entries>(config, type, visit) || ...);
  }
  /// For its type alone.
  static auto first_description(const ConfigReader& config) { return first_of<Entries...>(config); }

 private:
  template <class Entry>
  static constexpr bool is_list = requires {
    Entry::names();
  };

  template <class Entry, class Visit>
  static bool try_entry(const ConfigReader& config, const std::string& type, const Visit& visit) {
    if constexpr (is_list<Entry>) {
      return Entry::try_visit(config, type, visit);
    } else {
      static_assert(check_architecture<Entry, ConfigReader, NoPolicy>());
      if (type != Entry::model_type) return false;
      visit(Entry::read(config));
      return true;
    }
  }
  template <class First, class... Rest>
  static auto first_of(const ConfigReader& config) {
    if constexpr (is_list<First>)
      return First::first_description(config);
    else
      return First::read(config);
  }
  template <class Entry>
  static std::string names_of() {
    if constexpr (is_list<Entry>)
      return Entry::names();
    else
      return std::string(Entry::model_type);
  }
  [[noreturn]] static void refuse(const ConfigReader& config, const std::string& type) {
    throw ConfigError("config", text(config.source(), ", field \"model_type\""),
                      text("expected one of ", names(), ", got ", type));
  }
  struct NoPolicy {};
};

}  // namespace greentrainer
