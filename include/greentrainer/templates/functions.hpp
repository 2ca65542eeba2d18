#pragma once

#include <array>
#include <cstdint>
#include <ctime>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/templates/methods.hpp"
#include "greentrainer/templates/operations.hpp"

namespace greentrainer::templates {

/// Names in a template, and what they stand for; those of the scopes around are seen as well.
struct Scope {
  Scope* outer = nullptr;
  std::vector<std::pair<std::string, Value>> variables = {};

  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->outer) {
      for (const auto& [key, value] : scope->variables) {
        if (key == name) return &value;
      }
    }
    return nullptr;
  }
  void set(std::string_view name, Value value) {
    for (auto& [key, old] : variables) {
      if (key == name) {
        old = std::move(value);
        return;
      }
    }
    variables.emplace_back(name, std::move(value));
  }
};

/// What values point to while a template is rendered: these may refer to each other in circles.
struct Objects {
  std::deque<Scope> scopes;
  std::deque<Namespace> namespaces;
  std::deque<Loop> loops;
};

/// The functions that templates have by name, those of Jinja's sandbox and of transformers.
inline bool is_function(std::string_view name) {
  static constexpr auto names = std::to_array<std::string_view>(
      {"range", "dict", "namespace", "raise_exception", "strftime_now", "lipsum", "cycler", "joiner"});
  return detail::is_in(names, name);
}

namespace detail {

/// Python's datetime.strftime of a time without a zone.
inline std::string time_text(const Context& context, std::string_view format) {
  const std::time_t now = context.now();
  std::tm parts{};
  localtime_r(&now, &parts);
  std::string result;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      result += format[i];
      continue;
    }
    std::string directive = "%";
    while (i + 1 < format.size() && std::string_view("-_0^#EO").find(format[i + 1]) != std::string_view::npos)
      directive += format[++i];
    if (i + 1 < format.size()) directive += format[++i];
    const char kind = directive.back();
    if (kind == 'f') context.fail("strftime_now", "expected no microseconds (%f), got them");
    if (kind == 'z' || kind == 'Z') continue;
    if (static_cast<unsigned char>(kind) >= 0x80 || (kind >= '0' && kind <= '9'))
      context.fail("strftime_now", "expected a directive of strftime, got another");
    std::array<char, 256> buffer;
    result.append(buffer.data(), std::strftime(buffer.data(), buffer.size(), directive.c_str(), &parts));
  }
  return result;
}

inline Value range_of(Context& context, const Arguments& arguments) {
  const auto bound = arguments.bind(context, "range", {"start", "stop", "step"});
  std::int64_t begin = 0, end = integer_or(context, "range", bound[0], 0);
  if (bound[0].is_undefined()) context.fail("range", "expected a number, got none");
  if (!bound[1].is_undefined()) begin = std::exchange(end, integer_or(context, "range", bound[1], 0));
  const std::int64_t step = integer_or(context, "range", bound[2], 1);
  constexpr std::int64_t most = 100000, limit = std::int64_t{1} << 62;
  if (step == 0 || step > limit || step < -limit || begin > limit || begin < -limit || end > limit || end < -limit)
    context.fail("range", "expected numbers of 62 bits and a step that is not 0, got others");
  std::vector<Value> items;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (items.size() == most) context.fail("range", text("expected at most ", most, " numbers, got more"));
    items.emplace_back(i);
    if (step > 0 ? end - i <= step : end - i >= step) break;
    i += step;
  }
  return context.sequence(std::move(items), Sequence::Kind::range);
}

/// What dict() and namespace() are made of: a dict or pairs, and names.
inline std::vector<std::pair<Value, Value>> entries_of(Context& context, std::string_view construct,
                                                       const Arguments& arguments) {
  std::vector<std::pair<Value, Value>> entries;
  const auto set = [&](const Value& key, const Value& value) {
    if (!is_hashable(key)) context.fail(construct, text("expected a key, got ", key.type_name()));
    context.spend(entries.size() / 8 + 1);
    for (auto& [name, old] : entries) {
      if (!is_equal(context, name, key)) continue;
      old = value;
      return;
    }
    entries.emplace_back(key, value);
  };
  if (arguments.positional.size() > 1)
    context.fail(construct, "expected at most one argument without a name, got more");
  for (const Value& argument : arguments.positional) {
    if (const Dict* dict = argument.dict()) {
      for (const auto& [key, value] : dict->entries) set(key, value);
      continue;
    }
    for (const Value& pair : items_of(context, argument, construct)) {
      const auto parts = items_of(context, pair, construct);
      if (parts.size() != 2) context.fail(construct, text("expected pairs, got ", parts.size(), " items"));
      set(parts[0], parts[1]);
    }
  }
  for (const auto& [name, value] : arguments.keyword) set(Value(name), value);
  return entries;
}

inline void require_attribute_name(const Context& context, std::string_view name) {
  if (name.starts_with('_'))
    context.fail("namespace", text("expected names that do not begin with _, got ", name.substr(0, 40)));
}

inline Value namespace_of(Context& context, Objects& objects, const Arguments& arguments) {
  Namespace space;
  for (const auto& [key, value] : entries_of(context, "namespace", arguments)) {
    const std::string_view name = required_text(context, "namespace", key);
    require_attribute_name(context, name);
    space.attributes.emplace_back(name, value);
  }
  context.spend(16);
  return &objects.namespaces.emplace_back(std::move(space));
}

}  // namespace detail

/// Calls one of the functions. Throws DataError, also for what the template itself refuses (raise_exception).
inline Value call_function(Context& context, Objects& objects, std::string_view name, const Arguments& arguments) {
  if (name == "range") return detail::range_of(context, arguments);
  if (name == "dict") return context.dict(detail::entries_of(context, "dict", arguments));
  if (name == "namespace") return detail::namespace_of(context, objects, arguments);
  if (name == "raise_exception") {
    const Value message = arguments.bind(context, name, {"message"})[0];
    context.fail("raise_exception", text("the template refuses the conversation: ", to_text(context, message)));
  }
  if (name == "strftime_now") {
    const Value format = arguments.bind(context, name, {"format"})[0];
    return context.text_value(detail::time_text(context, required_text(context, name, format)));
  }
  context.fail(name, "expected a function that is supported, got another");
}

}  // namespace greentrainer::templates
