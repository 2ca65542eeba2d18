#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/templates/access.hpp"
#include "greentrainer/templates/context.hpp"
#include "greentrainer/templates/operations.hpp"
#include "greentrainer/templates/python_text.hpp"

namespace greentrainer::templates {

/// The text of an argument, or nothing where it is None or not given. Throws DataError for anything else.
inline std::optional<std::string_view> optional_text(const Context& context, std::string_view construct,
                                                     const Value& value) {
  if (value.is_undefined() || value.is_none()) return std::nullopt;
  if (const Text* text = value.text()) return text->bytes;
  context.fail(construct, text("expected a text, got ", value.type_name()));
}
inline std::string_view required_text(const Context& context, std::string_view construct, const Value& value) {
  if (const Text* text = value.text()) return text->bytes;
  context.fail(construct, text("expected a text, got ", value.type_name()));
}
inline std::int64_t integer_or(const Context& context, std::string_view construct, const Value& value,
                               std::int64_t fallback) {
  if (value.is_undefined()) return fallback;
  if (!value.is_integer()) context.fail(construct, text("expected a whole number, got ", value.type_name()));
  return value.integer();
}

/// `text % value`, and the filter `format`: %s, %r, %d, %i and %%, by place or by name.
inline std::string percent_formatted(Context& context, std::string_view format, const Value& value) {
  constexpr std::string_view construct = "operator % of a text";
  const Sequence* tuple = value.sequence();
  if (tuple != nullptr && tuple->kind != Sequence::Kind::tuple) tuple = nullptr;
  std::size_t used = 0;
  std::string result;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      result += format[i];
      continue;
    }
    Value item;
    bool named = false;
    if (i + 1 < format.size() && format[i + 1] == '(') {
      const auto close = format.find(')', i);
      if (close == std::string_view::npos || value.dict() == nullptr)
        context.fail(construct, "expected a dict for %(name), got none");
      const Value* found = find_key(context, *value.dict(), Value(format.substr(i + 2, close - i - 2)));
      if (found == nullptr) context.fail(construct, "expected the key of %(name), got none");
      item = *found;
      named = true;
      i = close;
    }
    const char kind = i + 1 < format.size() ? format[++i] : '\0';
    if (kind == '%') {
      result += '%';
      continue;
    }
    if (!named) {
      if (used >= (tuple != nullptr ? tuple->items.size() : 1))
        context.fail(construct, "expected a value for each %, got fewer");
      item = tuple != nullptr ? tuple->items[used] : value;
      ++used;
    }
    if (kind == 's')
      append_text(context, item, result);
    else if (kind == 'r')
      append_repr(context, item, result);
    else if ((kind == 'd' || kind == 'i') && item.is_integer())
      result += std::to_string(item.integer());
    else
      context.fail(construct, text("expected %s, %r, %d or %%, got %", kind == '\0' ? ' ' : kind, " for ",
                                   item.type_name(), "; it is not supported"));
  }
  if (used < (tuple != nullptr ? tuple->items.size() : value.dict() == nullptr ? 1 : 0))
    context.fail(construct, "expected a % for each value, got fewer");
  context.make(result.size());
  return result;
}

namespace detail {

/// str.format with {}, {0}, {name}, {{ and }}.
inline std::string brace_formatted(Context& context, std::string_view format, const Arguments& arguments) {
  constexpr std::string_view construct = "method format";
  std::string result;
  std::size_t used = 0;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    if ((c == '{' || c == '}') && i + 1 < format.size() && format[i + 1] == c) {
      result += c;
      ++i;
      continue;
    }
    if (c != '{') {
      if (c == '}') context.fail(construct, "expected }} or a field, got a single }");
      result += c;
      continue;
    }
    const auto close = format.find('}', i);
    const std::string_view field = format.substr(i + 1, close == std::string_view::npos ? 0 : close - i - 1);
    const bool plain = std::all_of(field.begin(), field.end(), [](char f) {
      return f == '_' || (static_cast<unsigned char>(f) < 0x80 && std::isalnum(static_cast<unsigned char>(f)) != 0);
    });
    if (close == std::string_view::npos || !plain)
      context.fail(construct, "expected fields {}, {0} or {name}, got another; it is not supported");
    const bool by_place = field.empty() || (field[0] >= '0' && field[0] <= '9');
    if (by_place) {
      const std::size_t place = field.empty()      ? used++
                                : field.size() < 6 ? std::stoul(std::string(field))
                                                   : arguments.positional.size();
      if (place >= arguments.positional.size()) context.fail(construct, "expected a value for each field, got fewer");
      append_text(context, arguments.positional[place], result);
    } else {
      const auto found = std::find_if(arguments.keyword.begin(), arguments.keyword.end(),
                                      [&](const auto& argument) { return argument.first == field; });
      if (found == arguments.keyword.end()) context.fail(construct, "expected a value for each field, got fewer");
      append_text(context, found->second, result);
    }
    i = close;
  }
  return result;
}

inline Value list_of(Context& context, const std::vector<std::string_view>& parts,
                     Sequence::Kind kind = Sequence::Kind::list) {
  std::vector<Value> items;
  context.make(parts.size() * sizeof(Value));
  for (const auto part : parts) items.push_back(context.text_value(std::string(part)));
  return context.sequence(std::move(items), kind);
}

/// The part of a text that start and end, if they are given, leave.
inline std::string_view limited(std::string_view whole, const Value& begin, const Value& end) {
  const auto bound = [](const Value& value) { return value.is_undefined() ? Value(None{}) : value; };
  const std::size_t length = python::length(whole);
  const auto range = slice_range(bound(begin), bound(end), None{}, length);
  if (!range || range->begin >= range->end) return whole.substr(0, 0);
  const std::string_view rest = whole.substr(python::byte_of(whole, static_cast<std::size_t>(range->begin)));
  return rest.substr(0, python::byte_of(rest, static_cast<std::size_t>(range->end - range->begin)));
}

inline Value has_affix(Context& context, std::string_view construct, std::string_view whole, const Value& affix,
                       bool prefix) {
  const auto has = [&](const Value& one) {
    const std::string_view bytes = required_text(context, construct, one);
    return prefix ? whole.starts_with(bytes) : whole.ends_with(bytes);
  };
  if (const Sequence* items = affix.sequence(); items != nullptr && items->kind == Sequence::Kind::tuple)
    return std::any_of(items->items.begin(), items->items.end(), has);
  return has(affix);
}

template <class Is>
bool all_characters(std::string_view text, Is is) {
  if (text.empty()) return false;
  for (std::size_t i = 0; i < text.size();) {
    const auto c = utf8_char_at(text, i);
    if (!is(c.code)) return false;
    i += c.length;
  }
  return true;
}

/// str.islower and str.isupper: at least one letter with case, and none of the other.
inline bool has_case(std::string_view text, bool upper) {
  bool some = false;
  for (std::size_t i = 0; i < text.size();) {
    const auto c = utf8_char_at(text, i);
    if (upper ? unicode::is_lower(c.code) : unicode::is_upper(c.code)) return false;
    some = some || (upper ? unicode::is_upper(c.code) : unicode::is_lower(c.code));
    i += c.length;
  }
  return some;
}

inline std::string padded(Context& context, std::string_view construct, std::string_view text,
                          const Arguments& arguments, std::string_view name) {
  const auto bound = arguments.bind(context, construct, {"width", "fillchar"});
  const std::int64_t width = integer_or(context, construct, bound[0], 0);
  const std::string_view fill = name == "zfill" ? "0" : optional_text(context, construct, bound[1]).value_or(" ");
  const auto size = static_cast<std::int64_t>(python::length(text));
  if (width <= size || python::length(fill) != 1) return std::string(text);
  const auto missing = static_cast<std::size_t>(width - size);
  context.make(missing * fill.size() + text.size());
  std::size_t left = name == "ljust" ? 0 : missing;
  if (name == "center") left = missing / 2 + (missing & static_cast<std::size_t>(width) & 1U);
  std::string result, sign;
  if (name == "zfill" && (text.starts_with('+') || text.starts_with('-'))) {
    sign = text.substr(0, 1);
    text.remove_prefix(1);
  }
  for (std::size_t i = 0; i < left; ++i) result += fill;
  result = sign + result + std::string(text);
  for (std::size_t i = left; i < missing; ++i) result += fill;
  return result;
}

inline Value text_search(Context& context, std::string_view construct, std::string_view whole, std::string_view name,
                         const Arguments& arguments) {
  const auto bound = arguments.bind(context, construct, {"sub", "start", "end"});
  const std::string_view part = required_text(context, construct, bound[0]);
  if (name == "count") {
    const std::string_view within = limited(whole, bound[1], bound[2]);
    if (part.empty()) return static_cast<std::int64_t>(python::length(within) + 1);
    std::int64_t count = 0;
    for (auto at = within.find(part); at != std::string_view::npos; at = within.find(part, at + part.size())) ++count;
    return count;
  }
  if (!bound[1].is_undefined()) context.fail(construct, "expected no start, got one; it is not supported");
  const auto at = name.starts_with('r') ? whole.rfind(part) : whole.find(part);
  if (at == std::string_view::npos && name.ends_with("index"))
    context.fail(construct, "expected a text that holds the other, got none");
  if (at == std::string_view::npos) return std::int64_t{-1};
  return static_cast<std::int64_t>(python::length(whole.substr(0, at)));
}

inline Value text_predicate(Context& context, std::string_view construct, std::string_view text,
                            std::string_view name) {
  if (name == "isspace") return all_characters(text, python::is_space);
  if (name == "isdigit" || name == "isdecimal" || name == "isnumeric") {
    if (unicode::detail::is_ascii(text) || name == "isdecimal") return all_characters(text, unicode::is_decimal);
    if (all_characters(text, unicode::is_decimal)) return true;
    if (!std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80 && (c < '0' || c > '9'); }))
      context.fail(construct, "expected ASCII or decimal digits, got other characters; it is not supported");
    return false;
  }
  if (name == "isalpha") return all_characters(text, unicode::is_letter);
  if (name == "isalnum")
    return all_characters(text, [](char32_t c) { return unicode::is_letter(c) || unicode::is_decimal(c); });
  if (name == "isascii") return unicode::detail::is_ascii(text);
  return has_case(text, name == "isupper");
}

/// str.title: a letter behind anything but a letter is in title case, all others in lower case.
inline std::string titled(std::string_view text) {
  std::string result;
  bool in_word = false;
  for (std::size_t i = 0; i < text.size();) {
    const auto c = utf8_char_at(text, i);
    const bool letter = unicode::is_letter(c.code);
    if (letter && !in_word)
      append_utf8(result, unicode::title(c.code));
    else
      result += unicode::lower(text.substr(i, c.length));
    in_word = letter;
    i += c.length;
  }
  return result;
}

inline Value text_split(Context& context, std::string_view construct, std::string_view whole, std::string_view name,
                        const Arguments& arguments) {
  if (name == "splitlines") {
    const auto bound = arguments.bind(context, construct, {"keepends"});
    return list_of(context, python::lines(whole, is_true(bound[0])));
  }
  if (name.ends_with("partition")) {
    const std::string_view part = required_text(context, construct, arguments.bind(context, construct, {"sep"})[0]);
    if (part.empty()) context.fail(construct, "expected a separator, got an empty one");
    const bool from_right = name == "rpartition";
    const auto at = from_right ? whole.rfind(part) : whole.find(part);
    if (at == std::string_view::npos)
      return list_of(
          context,
          from_right ? std::vector<std::string_view>{"", "", whole} : std::vector<std::string_view>{whole, "", ""},
          Sequence::Kind::tuple);
    return list_of(context, {whole.substr(0, at), part, whole.substr(at + part.size())}, Sequence::Kind::tuple);
  }
  const auto bound = arguments.bind(context, construct, {"sep", "maxsplit"});
  const auto separator = optional_text(context, construct, bound[0]);
  if (separator && separator->empty()) context.fail(construct, "expected a separator, got an empty one");
  return list_of(context,
                 python::split(whole, separator, integer_or(context, construct, bound[1], -1), name == "rsplit"));
}

inline Value call_text_method(Context& context, const Text& self, std::string_view name, const Arguments& arguments) {
  const std::string construct = text("method ", name);
  const std::string_view whole = self.bytes;
  context.make(whole.size());
  const auto made = [&](std::string bytes) { return context.text_value(std::move(bytes), self.markup); };
  if (self.markup && !(arguments.positional.empty() && arguments.keyword.empty()))
    context.fail(construct, "expected a text that is not marked as safe, got one; it is not supported");
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const auto bound = arguments.bind(context, construct, {"chars"});
    return made(std::string(
        python::strip(whole, optional_text(context, construct, bound[0]), name != "rstrip", name != "lstrip")));
  }
  if (name.ends_with("split") || name == "splitlines" || name.ends_with("partition"))
    return text_split(context, construct, whole, name, arguments);
  if (name == "startswith" || name == "endswith") {
    const auto bound = arguments.bind(context, construct, {"prefix", "start", "end"});
    return has_affix(context, construct, bound[1].is_undefined() ? whole : limited(whole, bound[1], bound[2]), bound[0],
                     name == "startswith");
  }
  if (name == "replace") {
    const auto bound = arguments.bind(context, construct, {"old", "new", "count"});
    const std::string_view old = required_text(context, construct, bound[0]),
                           with = required_text(context, construct, bound[1]);
    if (with.size() > old.size()) context.make((whole.size() / std::max<std::size_t>(old.size(), 1) + 1) * with.size());
    return made(python::replace(whole, old, with, integer_or(context, construct, bound[2], -1)));
  }
  if (name == "find" || name == "rfind" || name == "index" || name == "rindex" || name == "count")
    return text_search(context, construct, whole, name, arguments);
  if (name == "join") {
    const auto bound = arguments.bind(context, construct, {"iterable"});
    std::string result;
    bool first = true;
    for (const Value& item : items_of(context, bound[0], construct)) {
      if (!std::exchange(first, false)) result += whole;
      result += required_text(context, construct, item);
      context.make(result.size() / 64);
    }
    return made(std::move(result));
  }
  if (name == "removeprefix" || name == "removesuffix") {
    const std::string_view affix = required_text(context, construct, arguments.bind(context, construct, {"affix"})[0]);
    if (name == "removeprefix") return made(std::string(whole.starts_with(affix) ? whole.substr(affix.size()) : whole));
    return made(std::string(whole.ends_with(affix) ? whole.substr(0, whole.size() - affix.size()) : whole));
  }
  if (name == "zfill" || name == "ljust" || name == "rjust" || name == "center")
    return made(padded(context, construct, whole, arguments, name));
  if (name == "format") return made(brace_formatted(context, whole, arguments));
  arguments.bind(context, construct, {});
  if (name == "upper") return made(unicode::upper(whole));
  if (name == "lower") return made(unicode::lower(whole));
  if (name == "title") return made(titled(whole));
  if (name == "capitalize") return made(python::capitalize(whole));
  static constexpr auto predicates = std::to_array<std::string_view>(
      {"isspace", "isdigit", "isdecimal", "isnumeric", "isalpha", "isalnum", "isascii", "islower", "isupper"});
  if (is_in(predicates, name)) return text_predicate(context, construct, whole, name);
  context.fail(construct, "expected a method of texts that is supported, got another");
}

inline Value call_dict_method(Context& context, const Value& self, std::string_view name, const Arguments& arguments) {
  const std::string construct = text("method ", name);
  const Dict& dict = *self.dict();
  if (name == "get") {
    const auto bound = arguments.bind(context, construct, {"key", "default"});
    if (arguments.positional.empty() || !arguments.keyword.empty())
      context.fail(construct, "expected a key by its place, got none");
    if (!is_hashable(bound[0])) context.fail(construct, text("expected a key, got ", bound[0].type_name()));
    if (const Value* found = find_key(context, dict, bound[0])) return *found;
    return arguments.positional.size() > 1 ? bound[1] : Value(None{});
  }
  if (name == "fromkeys") context.fail(construct, "expected a method of dicts that is supported, got another");
  arguments.bind(context, construct, {});
  if (name == "copy") return self;
  std::vector<Value> items;
  context.make(dict.entries.size() * sizeof(Value));
  for (const auto& [key, value] : dict.entries)
    items.push_back(name == "keys"     ? key
                    : name == "values" ? value
                                       : context.sequence({key, value}, Sequence::Kind::tuple));
  return context.sequence(std::move(items), Sequence::Kind::view);
}

}  // namespace detail

/// Calls a method of a text, a dict or a sequence; those of loops are the renderer's. Throws DataError.
inline Value call_method(Context& context, const Value& self, std::string_view name, const Arguments& arguments) {
  if (const Text* text = self.text()) return detail::call_text_method(context, *text, name, arguments);
  if (self.dict() != nullptr) return detail::call_dict_method(context, self, name, arguments);
  const std::string construct = text("method ", name);
  if (name == "copy") return self;
  const Value wanted = arguments.bind(context, construct, {"value"})[0];
  std::int64_t count = 0, index = 0;
  for (const Value& item : self.sequence()->items) {
    if (is_equal(context, item, wanted)) {
      if (name == "index") return index;
      ++count;
    }
    ++index;
  }
  if (name == "index") context.fail(construct, "expected an item of the list, got another");
  return count;
}

}  // namespace greentrainer::templates
