#pragma once

#include <cmath>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/io/json.hpp"
#include "greentrainer/templates/context.hpp"
#include "greentrainer/templates/python_text.hpp"
#include "greentrainer/templates/value.hpp"

namespace greentrainer::templates {

// What Python's operators and built-in functions do with values. All throw DataError where Python has a TypeError.

void append_repr(Context& context, const Value& value, std::string& out);

/// Appends Python's str() of a value.
inline void append_text(Context& context, const Value& value, std::string& out) {
  if (const Text* text = value.text()) {
    context.make(text->bytes.size());
    out += text->bytes;
  } else if (!value.is_undefined()) {
    append_repr(context, value, out);
  }
  context.make(out.size() / 64);
}

inline std::string to_text(Context& context, const Value& value) {
  std::string result;
  append_text(context, value, result);
  return result;
}

/// Appends Python's repr() of a value.
inline void append_repr(Context& context, const Value& value, std::string& out) {
  const auto list = [&](const std::vector<Value>& items, char open, char close) {
    out += open;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += ", ";
      append_repr(context, items[i], out);
    }
    if (open == '(' && items.size() == 1) out += ',';
    out += close;
  };
  context.spend(1);
  const Sequence* items = value.sequence();
  if (const Text* text = value.text(); text != nullptr && !text->markup) {
    context.make(text->bytes.size());
    out += python::quoted(text->bytes);
  } else if (value.is_undefined()) {
    out += "Undefined";
  } else if (value.is_none()) {
    out += "None";
  } else if (const bool* flag = value.get<bool>()) {
    out += *flag ? "True" : "False";
  } else if (value.is_integer()) {
    out += std::to_string(value.integer());
  } else if (value.is_number()) {
    out += python::float_text(value.number());
  } else if (items != nullptr && (items->kind == Sequence::Kind::list || items->kind == Sequence::Kind::tuple)) {
    const bool is_list = items->kind == Sequence::Kind::list;
    list(items->items, is_list ? '[' : '(', is_list ? ']' : ')');
  } else if (const Dict* dict = value.dict()) {
    out += '{';
    for (std::size_t i = 0; i < dict->entries.size(); ++i) {
      if (i > 0) out += ", ";
      append_repr(context, dict->entries[i].first, out);
      out += ": ";
      append_repr(context, dict->entries[i].second, out);
    }
    out += '}';
  } else {
    context.fail("output", greentrainer::text("expected a text, a number, a list or a dict, got ", value.type_name()));
  }
  context.make(out.size() / 64);
}

inline bool is_equal(Context& context, const Value& a, const Value& b) {
  context.spend(1);
  if (a.is_number() && b.is_number()) {
    if (a.is_integer() && b.is_integer()) return a.integer() == b.integer();
    return a.number() == b.number();
  }
  if (a.data().index() != b.data().index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (const Text* text = a.text()) {
    context.spend(text->bytes.size() / 64);
    return text->bytes == b.text()->bytes;
  }
  if (const Sequence* items = a.sequence()) {
    const Sequence* others = b.sequence();
    if (items == others) return true;
    if (items->kind != others->kind || items->kind > Sequence::Kind::range) return false;
    if (items->items.size() != others->items.size()) return false;
    for (std::size_t i = 0; i < items->items.size(); ++i) {
      if (!is_equal(context, items->items[i], others->items[i])) return false;
    }
    return true;
  }
  if (const Dict* dict = a.dict()) {
    const Dict* other = b.dict();
    if (dict->entries.size() != other->entries.size()) return false;
    for (const auto& [key, value] : dict->entries) {
      const Value* found = nullptr;
      for (const auto& [name, candidate] : other->entries) {
        if (is_equal(context, key, name)) found = &candidate;
      }
      if (found == nullptr || !is_equal(context, value, *found)) return false;
    }
    return true;
  }
  return a.data() == b.data();
}

/// Null where the dict has no such key.
inline const Value* find_key(Context& context, const Dict& dict, const Value& key) {
  context.spend(dict.entries.size() / 8);
  if (const Text* text = key.text()) return dict.find(text->bytes);
  for (const auto& [name, value] : dict.entries) {
    if (is_equal(context, name, key)) return &value;
  }
  return nullptr;
}

/// Whether Python can use the value as a key of a dict.
inline bool is_hashable(const Value& value) {
  if (const Sequence* items = value.sequence()) {
    if (items->kind == Sequence::Kind::list || items->kind == Sequence::Kind::view) return false;
    if (items->kind != Sequence::Kind::tuple) return true;
    return std::all_of(items->items.begin(), items->items.end(), is_hashable);
  }
  return value.dict() == nullptr;
}

/// Python's `<` and its kind.
inline std::partial_ordering compare(Context& context, const Value& a, const Value& b) {
  context.spend(1);
  if (a.is_integer() && b.is_integer()) return a.integer() <=> b.integer();
  if (a.is_number() && b.is_number()) return a.number() <=> b.number();
  const Text *text = a.text(), *other_text = b.text();
  if (text != nullptr && other_text != nullptr) {
    context.spend(text->bytes.size() / 64);
    return text->bytes.compare(other_text->bytes) <=> 0;  // UTF-8 has the order of code points
  }
  const Sequence *items = a.sequence(), *others = b.sequence();
  if (items != nullptr && others != nullptr && items->kind == others->kind && items->kind <= Sequence::Kind::tuple) {
    for (std::size_t i = 0; i < std::min(items->items.size(), others->items.size()); ++i) {
      if (!is_equal(context, items->items[i], others->items[i]))
        return compare(context, items->items[i], others->items[i]);
    }
    return items->items.size() <=> others->items.size();
  }
  context.fail("comparison",
               greentrainer::text("expected values that Python orders, got ", a.type_name(), " and ", b.type_name()));
}

/// The items that a for loop over the value sees. Throws for what cannot be looped over.
inline std::vector<Value> items_of(Context& context, const Value& value, std::string_view construct) {
  if (value.is_undefined()) return {};
  if (const Text* text = value.text()) {
    context.make(text->bytes.size() * sizeof(Value));
    std::vector<Value> result;
    for (const auto character : python::characters(text->bytes)) result.emplace_back(character);
    return result;
  }
  if (const Sequence* items = value.sequence()) {
    context.make(items->items.size() * sizeof(Value));
    if (items->kind != Sequence::Kind::generator) return items->items;
    if (std::exchange(items->consumed, true)) return {};
    return items->items;
  }
  if (const Dict* dict = value.dict()) {
    context.make(dict->entries.size() * sizeof(Value));
    std::vector<Value> keys;
    for (const auto& entry : dict->entries) keys.push_back(entry.first);
    return keys;
  }
  if (Loop* const* loop = value.get<Loop*>())
    return {(*loop)->items.begin() + static_cast<std::ptrdiff_t>((*loop)->index), (*loop)->items.end()};
  context.fail(construct, text("expected something to loop over, got ", value.type_name()));
}

/// Python's len(); nothing for what has none.
inline std::optional<std::size_t> length_of(const Value& value) {
  if (value.is_undefined()) return 0;
  if (const Text* text = value.text()) return python::length(text->bytes);
  if (const Sequence* items = value.sequence())
    return items->kind == Sequence::Kind::generator ? std::nullopt : std::optional(items->items.size());
  if (const Dict* dict = value.dict()) return dict->entries.size();
  if (Loop* const* loop = value.get<Loop*>()) return (*loop)->items.size();
  return std::nullopt;
}

/// `item in container`.
inline bool contains(Context& context, const Value& container, const Value& item) {
  if (const Text* text = container.text()) {
    const Text* part = item.text();
    if (part == nullptr)
      context.fail("operator in", greentrainer::text("expected a text to look for in a text, got ", item.type_name()));
    context.spend(text->bytes.size() / 16);
    return text->bytes.find(part->bytes) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) {
    if (!is_hashable(item)) context.fail("operator in", greentrainer::text("expected a key, got ", item.type_name()));
    return find_key(context, *dict, item) != nullptr;
  }
  for (const Value& candidate : items_of(context, container, "operator in")) {
    if (is_equal(context, candidate, item)) return true;
  }
  return false;
}

/// Escapes what HTML reads as its own, as markupsafe does.
inline std::string escaped(Context& context, std::string_view text) {
  context.make(text.size() * 5);
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '\'': result += "&#39;"; break;
      case '"': result += "&#34;"; break;
      default: result += c;
    }
  }
  return result;
}

/// Where a slice begins, ends and steps, by Python's rules.
struct SliceRange {
  std::int64_t begin, end, step;
};
inline std::optional<SliceRange> slice_range(const Value& begin, const Value& end, const Value& step,
                                             std::size_t length) {
  const auto usable = [](const Value& bound) { return bound.is_none() || bound.is_integer(); };
  if (!usable(begin) || !usable(end) || !usable(step)) return std::nullopt;
  const auto size = static_cast<std::int64_t>(length);
  const std::int64_t by = step.is_none() ? 1 : step.integer();
  if (by == 0) return std::nullopt;
  const std::int64_t lowest = by > 0 ? 0 : -1, highest = by > 0 ? size : size - 1;
  const auto limited = [&](const Value& bound, std::int64_t fallback) {
    if (bound.is_none()) return fallback;
    std::int64_t value = bound.integer();
    if (value < 0) value = value < -size ? lowest : value + size;
    return std::min(std::max(value, lowest), highest);
  };
  return SliceRange{limited(begin, by > 0 ? 0 : size - 1), limited(end, by > 0 ? size : -1), by};
}

inline Value slice(Context& context, const Value& value, const Value& begin, const Value& end, const Value& step) {
  const Text* text = value.text();
  const Sequence* items = value.sequence();
  if (text == nullptr && (items == nullptr || items->kind > Sequence::Kind::range))
    context.fail("slice", greentrainer::text("expected a text or a list, got ", value.type_name()));
  const auto size = text != nullptr ? python::length(text->bytes) : items->items.size();
  const auto range = slice_range(begin, end, step, size);
  if (!range) context.fail("slice", "expected whole numbers and a step that is not 0, got others");
  const auto goes_on = [&](std::int64_t i) { return range->step > 0 ? i < range->end : i > range->end; };
  const auto next = [&](std::int64_t i) {  // without overflow
    const std::int64_t room = range->step > 0 ? range->end - i : i - range->end;
    return (range->step > 0 ? range->step : -(range->step + 1) + 1) >= room ||
                   range->step == std::numeric_limits<std::int64_t>::min()
               ? range->end
               : i + range->step;
  };
  if (text == nullptr) {
    std::vector<Value> result;
    for (std::int64_t i = range->begin; goes_on(i); i = next(i))
      result.push_back(items->items[static_cast<std::size_t>(i)]);
    return context.sequence(std::move(result), items->kind);
  }
  context.make(text->bytes.size());
  if (range->step == 1) {
    if (range->begin >= range->end) return Value("");
    const std::size_t first = python::byte_of(text->bytes, static_cast<std::size_t>(range->begin));
    const std::string_view rest = std::string_view(text->bytes).substr(first);
    return Value(rest.substr(0, python::byte_of(rest, static_cast<std::size_t>(range->end - range->begin))));
  }
  const auto characters = python::characters(text->bytes);
  std::string result;
  for (std::int64_t i = range->begin; goes_on(i); i = next(i)) result += characters[static_cast<std::size_t>(i)];
  return Value(std::move(result));
}

/// `value[key]` where the value is no more than a container; nothing where it has no such item.
inline std::optional<Value> item_of(Context& context, const Value& value, const Value& key) {
  if (const Dict* dict = value.dict()) {
    const Value* found = is_hashable(key) ? find_key(context, *dict, key) : nullptr;
    return found != nullptr ? std::optional(*found) : std::nullopt;
  }
  const Text* text = value.text();
  const Sequence* items = value.sequence();
  const bool indexed = text != nullptr || (items != nullptr && items->kind <= Sequence::Kind::range);
  if (!indexed || !key.is_integer()) return std::nullopt;
  if (text != nullptr) context.spend(text->bytes.size() / 16);
  const auto size = static_cast<std::int64_t>(text != nullptr ? python::length(text->bytes) : items->items.size());
  std::int64_t index = key.integer();
  if (index < 0 && index >= -size) index += size;
  if (index < 0 || index >= size) return std::nullopt;
  if (items != nullptr) return items->items[static_cast<std::size_t>(index)];
  const std::string_view rest =
      std::string_view(text->bytes).substr(python::byte_of(text->bytes, static_cast<std::size_t>(index)));
  return Value(rest.substr(0, utf8_char_at(rest, 0).length));
}

/// A value of JSON. Throws for numbers beyond 64 bits, which Python has and we do not.
inline Value from_json(Context& context, const OrderedJson& json) {
  context.spend(1);
  if (json.is_null()) return None{};
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_string()) return context.text_value(json.get<std::string>());
  if (json.is_array()) {
    std::vector<Value> items;
    for (const OrderedJson& item : json) items.push_back(from_json(context, item));
    return context.sequence(std::move(items));
  }
  if (json.is_object()) {
    std::vector<std::pair<Value, Value>> entries;
    for (const auto& [key, value] : json.items()) entries.emplace_back(Value(key), from_json(context, value));
    return context.dict(std::move(entries));
  }
  constexpr double limit = 9223372036854775808.0;
  const bool is_float = json.is_number_float();
  if (is_float && std::abs(json.get<double>()) < limit) return json.get<double>();
  if (is_float || (json.is_number_unsigned() && json.get<std::uint64_t>() >> 63 != 0))
    context.fail("number", text("expected one of 64 bits, got ", json.dump().substr(0, 40)));
  return json.get<std::int64_t>();
}

}  // namespace greentrainer::templates
