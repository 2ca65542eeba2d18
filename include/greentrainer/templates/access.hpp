#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/templates/context.hpp"
#include "greentrainer/templates/operations.hpp"
#include "greentrainer/templates/value.hpp"

namespace greentrainer::templates {

namespace detail {

/// Python's attributes of its types: those that a sandbox hides read as undefined, as in Jinja's
/// ImmutableSandboxedEnvironment.
enum class AttributeKind { none, method, hidden, unsupported };

template <std::size_t N>
bool is_in(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

inline AttributeKind attribute_kind(const Value& value, std::string_view name) {
  static constexpr auto of_text = std::to_array<std::string_view>(
      {"capitalize", "casefold",     "center",       "count",   "encode",     "endswith",    "expandtabs",
       "find",       "format",       "format_map",   "index",   "isalnum",    "isalpha",     "isascii",
       "isdecimal",  "isdigit",      "isidentifier", "islower", "isnumeric",  "isprintable", "isspace",
       "istitle",    "isupper",      "join",         "ljust",   "lower",      "lstrip",      "maketrans",
       "partition",  "removeprefix", "removesuffix", "replace", "rfind",      "rindex",      "rjust",
       "rpartition", "rsplit",       "rstrip",       "split",   "splitlines", "startswith",  "strip",
       "swapcase",   "title",        "translate",    "upper",   "zfill"});
  static constexpr auto of_dict =
      std::to_array<std::string_view>({"copy", "fromkeys", "get", "items", "keys", "values"});
  static constexpr auto changes_dict =
      std::to_array<std::string_view>({"clear", "pop", "popitem", "setdefault", "update"});
  static constexpr auto of_list = std::to_array<std::string_view>({"copy", "count", "index"});
  static constexpr auto changes_list =
      std::to_array<std::string_view>({"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"});
  static constexpr auto of_number = std::to_array<std::string_view>(
      {"as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes", "fromhex", "hex",
       "imag", "is_integer", "numerator", "real", "to_bytes"});
  if (name.starts_with("__") && !value.get<Namespace*>()) return AttributeKind::hidden;
  const auto one_of = [&](const auto& methods, const auto& hidden) {
    return is_in(methods, name)  ? AttributeKind::method
           : is_in(hidden, name) ? AttributeKind::hidden
                                 : AttributeKind::none;
  };
  static constexpr std::array<std::string_view, 0> nothing = {};
  if (value.text() != nullptr) return one_of(of_text, nothing);
  if (value.dict() != nullptr) return one_of(of_dict, changes_dict);
  if (value.is_number()) return is_in(of_number, name) ? AttributeKind::unsupported : AttributeKind::none;
  if (const Sequence* items = value.sequence()) {
    if (items->kind == Sequence::Kind::list) return one_of(of_list, changes_list);
    const bool counts = items->kind == Sequence::Kind::tuple || items->kind == Sequence::Kind::range;
    return counts && (name == "count" || name == "index") ? AttributeKind::method : AttributeKind::none;
  }
  if (const Function* function = value.function(); function != nullptr && function->macro != nullptr)
    return AttributeKind::unsupported;
  return AttributeKind::none;
}

inline std::optional<Value> loop_attribute(const Value& value, const Loop& loop, std::string_view name) {
  const auto number = [](std::size_t n) { return Value(static_cast<std::int64_t>(n)); };
  const std::size_t size = loop.items.size(), i = loop.index;
  if (name == "index") return number(i + 1);
  if (name == "index0") return number(i);
  if (name == "revindex") return number(size - i);
  if (name == "revindex0") return number(size - i - 1);
  if (name == "first") return Value(i == 0);
  if (name == "last") return Value(i + 1 == size);
  if (name == "length") return number(size);
  if (name == "depth") return number(loop.depth + 1);
  if (name == "depth0") return number(loop.depth);
  if (name == "previtem") return i > 0 ? loop.items[i - 1] : Value();
  if (name == "nextitem") return i + 1 < size ? loop.items[i + 1] : Value();
  if (name == "cycle" || name == "changed")
    return Value(std::make_shared<const Function>(
        Function{Function::Kind::method, std::string(name), std::make_shared<const Value>(value)}));
  return std::nullopt;
}

/// Nothing where Python has no such attribute. Throws DataError for one that is not supported.
inline std::optional<Value> attribute_of(const Context& context, const Value& value, std::string_view name) {
  if (Loop* const* loop = value.get<Loop*>()) return loop_attribute(value, **loop, name);
  if (Namespace* const* space = value.get<Namespace*>()) {
    const Value* found = (*space)->find(name);
    return found != nullptr ? std::optional(*found) : std::nullopt;
  }
  switch (attribute_kind(value, name)) {
    case AttributeKind::none: return std::nullopt;
    case AttributeKind::hidden: return Value();
    case AttributeKind::unsupported:
      context.fail(text("attribute \"", name, '"'),
                   text("expected none of a ", value.type_name(), ", got one; it is not supported"));
    case AttributeKind::method: break;
  }
  return Value(std::make_shared<const Function>(
      Function{Function::Kind::method, std::string(name), std::make_shared<const Value>(value)}));
}

inline void require_defined(const Context& context, const Value& value, std::string_view key) {
  if (value.is_undefined())
    context.fail(text('"', key.substr(0, 40), '"'), "expected a defined value to look in, got undefined");
}

}  // namespace detail

/// `value.name`: Python's attribute, else the item. Undefined where there is neither.
inline Value get_attribute(Context& context, const Value& value, std::string_view name) {
  detail::require_defined(context, value, name);
  if (auto found = detail::attribute_of(context, value, name)) return *found;
  if (value.dict() == nullptr) return Value();
  return item_of(context, value, Value(name)).value_or(Value());
}

/// `value[key]`: the item, else Python's attribute of that name. Undefined where there is neither.
inline Value get_item(Context& context, const Value& value, const Value& key) {
  const Text* name = key.text();
  detail::require_defined(context, value, name != nullptr ? name->bytes : "[]");
  if (auto found = item_of(context, value, key)) return *found;
  if (name == nullptr) return Value();
  return detail::attribute_of(context, value, name->bytes).value_or(Value());
}

/// What filters mean by an attribute: items by names or numbers with dots between them.
inline Value get_path(Context& context, Value value, const Value& path) {
  const Text* text = path.text();
  if (text == nullptr) return get_item(context, value, path);
  for (const auto part : python::split(text->bytes, ".", -1, false)) {
    const bool number = !part.empty() && part.size() < 10 &&
                        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    value = get_item(context, value, number ? Value(std::int64_t{std::stoll(std::string(part))}) : Value(part));
  }
  return value;
}

}  // namespace greentrainer::templates
