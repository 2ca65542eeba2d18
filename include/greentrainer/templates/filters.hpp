#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/templates/access.hpp"
#include "greentrainer/templates/arithmetic.hpp"
#include "greentrainer/templates/json_text.hpp"
#include "greentrainer/templates/methods.hpp"
#include "greentrainer/templates/tests.hpp"

namespace greentrainer::templates {

Value apply_filter(Context& context, std::string_view name, const Value& value, const Arguments& arguments);

namespace detail {

using Items = std::vector<Value>;

inline Value json_filter(Context& context, const Value& value, const Arguments& arguments) {
  constexpr std::string_view construct = "filter tojson";
  const auto bound = arguments.bind(context, construct, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonText::Options options{.ascii = is_true(bound[0]), .sorted = is_true(bound[3])};
  const auto is_given = [](const Value& argument) { return !argument.is_undefined() && !argument.is_none(); };
  if (is_given(bound[1])) {
    if (const Text* text = bound[1].text()) {
      options.indent = text->bytes;
    } else {
      const std::int64_t width = std::max<std::int64_t>(0, integer_or(context, construct, bound[1], 0));
      context.make(static_cast<std::size_t>(width));
      options.indent = std::string(static_cast<std::size_t>(width), ' ');
    }
    options.item_separator = ",";
  }
  if (is_given(bound[2])) {
    const Items pair = items_of(context, bound[2], construct);
    if (pair.size() != 2) context.fail(construct, text("expected two separators, got ", pair.size()));
    options.item_separator = required_text(context, construct, pair[0]);
    options.key_separator = required_text(context, construct, pair[1]);
  }
  return context.text_value(JsonText(context, std::move(options)).of(value));
}

/// How items are compared: by an attribute, if there is one, and without case unless it counts.
inline Value sort_key(Context& context, const Value& item, const Value& attribute, bool case_sensitive) {
  Value key = attribute.is_undefined() || attribute.is_none() ? item : get_path(context, item, attribute);
  if (const Text* text = key.text(); text != nullptr && !case_sensitive)
    return context.text_value(unicode::lower(text->bytes));
  return key;
}

inline Items sorted(Context& context, Items items, const Value& attribute, bool case_sensitive, bool reverse) {
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : items) keyed.emplace_back(sort_key(context, item, attribute, case_sensitive), std::move(item));
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? compare(context, b.first, a.first) < 0 : compare(context, a.first, b.first) < 0;
  });
  for (std::size_t i = 0; i < keyed.size(); ++i) items[i] = std::move(keyed[i].second);
  return items;
}

inline Value dictsort_filter(Context& context, const Value& value, const Arguments& arguments) {
  constexpr std::string_view construct = "filter dictsort";
  const auto bound = arguments.bind(context, construct, {"case_sensitive", "by", "reverse"});
  const std::string_view by = optional_text(context, construct, bound[1]).value_or("key");
  if (value.dict() == nullptr || (by != "key" && by != "value"))
    context.fail(construct, text("expected a dict, and by key or value, got ", value.type_name()));
  Items pairs;
  for (const auto& [key, item] : value.dict()->entries)
    pairs.push_back(context.sequence({key, item}, Sequence::Kind::tuple));
  return context.sequence(sorted(context, std::move(pairs), Value(std::int64_t{by == "key" ? 0 : 1}), is_true(bound[0]),
                                 is_true(bound[2])));
}

/// select, reject, selectattr and rejectattr: the items that a test, or their own truth, takes or leaves.
inline Value select_filter(Context& context, std::string_view name, const Value& value, const Arguments& arguments) {
  const std::string construct = text("filter ", name);
  const bool by_attribute = name.ends_with("attr"), wanted = name.starts_with("select");
  const std::size_t before = by_attribute ? 1 : 0;
  if (arguments.positional.size() < before) context.fail(construct, "expected the name of an attribute, got none");
  Arguments rest;
  for (std::size_t i = before + 1; i < arguments.positional.size(); ++i)
    rest.positional.push_back(arguments.positional[i]);
  rest.keyword = arguments.keyword;
  Items result;
  if (!is_true(value)) return context.sequence({}, Sequence::Kind::generator);  // None, too
  for (const Value& item : items_of(context, value, construct)) {
    const Value tested = by_attribute ? get_path(context, item, arguments.positional[0]) : item;
    const bool taken =
        arguments.positional.size() > before
            ? apply_test(context, required_text(context, construct, arguments.positional[before]), tested, rest)
            : is_true(tested);
    if (taken == wanted) result.push_back(item);
  }
  return context.sequence(std::move(result), Sequence::Kind::generator);
}

inline Value map_filter(Context& context, const Value& value, const Arguments& arguments) {
  constexpr std::string_view construct = "filter map";
  Items result;
  if (!is_true(value)) return context.sequence({}, Sequence::Kind::generator);  // None, too
  if (arguments.positional.empty()) {
    Value attribute, fallback;
    bool has_attribute = false;
    for (const auto& [key, argument] : arguments.keyword) {
      if (key == "attribute")
        attribute = argument, has_attribute = true;
      else if (key == "default")
        fallback = argument;
      else
        context.fail(construct, text("expected attribute and default, got ", key));
    }
    if (!has_attribute) context.fail(construct, "expected a filter or an attribute, got none");
    for (const Value& item : items_of(context, value, construct)) {
      const Value found = get_path(context, item, attribute);
      result.push_back(found.is_undefined() ? fallback : found);
    }
  } else {
    const std::string name(required_text(context, construct, arguments.positional[0]));
    Arguments rest = arguments;
    rest.positional.erase(rest.positional.begin());
    for (const Value& item : items_of(context, value, construct))
      result.push_back(apply_filter(context, name, item, rest));
  }
  return context.sequence(std::move(result), Sequence::Kind::generator);
}

inline Value join_filter(Context& context, const Value& value, const Arguments& arguments) {
  const auto bound = arguments.bind(context, "filter join", {"d", "attribute"});
  const std::string separator = bound[0].is_undefined() ? "" : to_text(context, bound[0]);
  std::string result;
  bool first = true;
  for (const Value& item : items_of(context, value, "filter join")) {
    if (!std::exchange(first, false)) result += separator;
    const bool by_attribute = !bound[1].is_undefined() && !bound[1].is_none();
    append_text(context, by_attribute ? get_path(context, item, bound[1]) : item, result);
    context.make(result.size() / 64);
  }
  return context.text_value(std::move(result));
}

inline Value indent_filter(Context& context, const Value& value, const Arguments& arguments) {
  constexpr std::string_view construct = "filter indent";
  const auto bound = arguments.bind(context, construct, {"width", "first", "blank"});
  const Text* width = bound[0].text();
  std::string indent;
  if (width != nullptr) {
    indent = width->bytes;
  } else {
    const auto count = static_cast<std::size_t>(std::max<std::int64_t>(0, integer_or(context, construct, bound[0], 4)));
    context.make(count);
    indent.assign(count, ' ');
  }
  const std::string with_break = std::string(required_text(context, construct, value)) + '\n';
  const auto lines = python::lines(with_break, false);
  std::string result = is_true(bound[1]) ? indent : "";
  context.make(lines.size() * indent.size() + with_break.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) result += '\n';
    if (i > 0 && (!lines[i].empty() || is_true(bound[2]))) result += indent;
    result += lines[i];
  }
  return context.text_value(std::move(result));
}

/// Python's int() and float() of a text, or nothing.
inline std::optional<double> parse_float(std::string_view text) {
  std::string digits(python::strip(text, {}, true, true));
  if (digits.starts_with('+')) digits.erase(0, 1);
  double value = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool all = end.ec == std::errc() && end.ptr == digits.data() + digits.size() && !digits.empty() &&
                   digits.find('(') == std::string::npos;
  return all ? std::optional(value) : std::nullopt;
}
inline std::optional<std::int64_t> parse_integer(const Context& context, std::string_view text) {
  std::string digits(python::strip(text, {}, true, true));
  if (digits.starts_with('+') && !digits.starts_with("+-")) digits.erase(0, 1);
  std::int64_t value = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (end.ec == std::errc::result_out_of_range)
    context.fail("filter int", "expected a number of 64 bits, got one beyond it");
  const bool all = end.ec == std::errc() && end.ptr == digits.data() + digits.size();
  return all ? std::optional(value) : std::nullopt;
}

inline Value int_filter(Context& context, const Value& value, const Arguments& arguments) {
  const auto bound = arguments.bind(context, "filter int", {"default", "base"});
  if (integer_or(context, "filter int", bound[1], 10) != 10)
    context.fail("filter int", "expected base 10, got another; it is not supported");
  const Value fallback = bound[0].is_undefined() ? Value(std::int64_t{0}) : bound[0];
  if (value.is_undefined()) context.fail("filter int", "expected a defined value, got undefined");
  if (value.is_integer()) return value.integer();
  std::optional<double> number;
  if (const Text* text = value.text()) {
    if (const auto whole = parse_integer(context, text->bytes)) return *whole;
    number = parse_float(text->bytes);
  } else if (value.is_number()) {
    number = value.number();
  }
  if (!number || !std::isfinite(*number)) return fallback;
  if (std::abs(*number) >= 9.2e18) context.fail("filter int", "expected a number of 64 bits, got one beyond it");
  return static_cast<std::int64_t>(*number);
}

inline Value float_filter(Context& context, const Value& value, const Arguments& arguments) {
  const auto bound = arguments.bind(context, "filter float", {"default"});
  if (value.is_undefined()) context.fail("filter float", "expected a defined value, got undefined");
  if (value.is_number()) return value.number();
  if (const Text* text = value.text()) {
    if (const auto number = parse_float(text->bytes)) return *number;
  }
  return bound[0].is_undefined() ? Value(0.0) : bound[0];
}

inline Value round_filter(Context& context, const Value& value, const Arguments& arguments) {
  constexpr std::string_view construct = "filter round";
  const auto bound = arguments.bind(context, construct, {"precision", "method"});
  const std::int64_t precision = integer_or(context, construct, bound[0], 0);
  const std::string_view method = optional_text(context, construct, bound[1]).value_or("common");
  if (!value.is_number() || precision < 0 || precision > 15)
    context.fail(construct, text("expected a number and 0 to 15 digits, got ", value.type_name()));
  if (method == "common") {
    if (value.is_integer()) return value.integer();
    std::array<char, 512> digits;
    std::snprintf(digits.data(), digits.size(), "%.*f", static_cast<int>(precision), value.number());
    return std::strtod(digits.data(), nullptr);
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return std::ceil(value.number() * scale) / scale;
  if (method == "floor") return std::floor(value.number() * scale) / scale;
  context.fail(construct, "expected method common, ceil or floor, got another");
}

/// Jinja's title: the first letter behind a blank, a hyphen or an opening bracket is in upper case.
inline std::string title_filter(std::string_view text) {
  std::string result;
  std::size_t begin = 0;
  const auto is_border = [](char32_t c) {
    return python::is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  const auto finish = [&](std::size_t end) {
    if (begin == end) return;
    const std::string_view word = text.substr(begin, end - begin);
    const std::size_t first = utf8_char_at(word, 0).length;
    result += unicode::upper(word.substr(0, first)) + unicode::lower(word.substr(first));
    begin = end;
  };
  bool border = false;
  for (std::size_t i = 0; i < text.size();) {
    const auto c = utf8_char_at(text, i);
    if (is_border(c.code) != border) finish(i);
    border = is_border(c.code);
    i += c.length;
  }
  finish(text.size());
  return result;
}

inline Value end_filter(Context& context, std::string_view name, const Value& value) {
  const std::string construct = text("filter ", name);
  const bool generated = value.sequence() != nullptr && value.sequence()->kind == Sequence::Kind::generator;
  if (name == "last" && generated) context.fail(construct, "expected a list, got a generator");
  const Items items = items_of(context, value, construct);
  if (items.empty()) return Value();
  return name == "first" ? items.front() : items.back();
}

inline Value reverse_filter(Context& context, const Value& value) {
  if (const Text* text = value.text()) {
    std::string result;
    const auto characters = python::characters(text->bytes);
    for (auto c = characters.rbegin(); c != characters.rend(); ++c) result += *c;
    return context.text_value(std::move(result));
  }
  Items items = items_of(context, value, "filter reverse");
  std::reverse(items.begin(), items.end());
  return context.sequence(std::move(items), Sequence::Kind::generator);
}

inline Value unique_filter(Context& context, const Value& value, const Arguments& arguments) {
  const auto bound = arguments.bind(context, "filter unique", {"case_sensitive", "attribute"});
  Items result, seen;
  for (const Value& item : items_of(context, value, "filter unique")) {
    const Value key = sort_key(context, item, bound[1], is_true(bound[0]));
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& other) { return is_equal(context, other, key); }))
      continue;
    seen.push_back(key);
    result.push_back(item);
  }
  return context.sequence(std::move(result), Sequence::Kind::generator);
}

inline Value extreme_filter(Context& context, std::string_view name, const Value& value, const Arguments& arguments) {
  const std::string construct = text("filter ", name);
  const auto bound = arguments.bind(context, construct, {"case_sensitive", "attribute"});
  Value best, best_key;
  bool found = false;
  for (const Value& item : items_of(context, value, construct)) {
    const Value key = sort_key(context, item, bound[1], is_true(bound[0]));
    const bool better =
        !found || (name == "min" ? compare(context, key, best_key) < 0 : compare(context, key, best_key) > 0);
    if (!better) continue;
    best = item;
    best_key = key;
    found = true;
  }
  return best;
}

inline Value list_filter(Context& context, std::string_view name, const Value& value, const Arguments& arguments) {
  const std::string construct = text("filter ", name);
  if (name == "sort") {
    const auto bound = arguments.bind(context, construct, {"reverse", "case_sensitive", "attribute"});
    return context.sequence(
        sorted(context, items_of(context, value, construct), bound[2], is_true(bound[1]), is_true(bound[0])));
  }
  if (name == "sum") {
    const auto bound = arguments.bind(context, construct, {"attribute", "start"});
    Value total = bound[1].is_undefined() ? Value(std::int64_t{0}) : bound[1];
    for (const Value& item : items_of(context, value, construct))
      total = arithmetic(context, "+", total,
                         bound[0].is_undefined() || bound[0].is_none() ? item : get_path(context, item, bound[0]));
    return total;
  }
  if (name == "unique") return unique_filter(context, value, arguments);
  if (name == "min" || name == "max") return extreme_filter(context, name, value, arguments);
  arguments.bind(context, construct, {});
  if (name == "list") return context.sequence(items_of(context, value, construct));
  if (name == "first" || name == "last") return end_filter(context, name, value);
  if (name == "reverse") return reverse_filter(context, value);
  if (name == "items") {
    if (value.is_undefined()) return context.sequence({}, Sequence::Kind::generator);
    if (value.dict() == nullptr) context.fail(construct, text("expected a dict, got ", value.type_name()));
    Items pairs;
    for (const auto& [key, item] : value.dict()->entries)
      pairs.push_back(context.sequence({key, item}, Sequence::Kind::tuple));
    return context.sequence(std::move(pairs), Sequence::Kind::generator);
  }
  const auto length = length_of(value);
  if (!length) context.fail(construct, text("expected something that has a length, got ", value.type_name()));
  return static_cast<std::int64_t>(*length);
}

inline Value text_filter(Context& context, std::string_view name, const Value& value, const Arguments& arguments) {
  const std::string construct = text("filter ", name);
  const bool markup = value.text() != nullptr && value.text()->markup;
  const std::string whole = to_text(context, value);
  if (name == "trim") {
    const auto bound = arguments.bind(context, construct, {"chars"});
    return context.text_value(
        std::string(python::strip(whole, optional_text(context, construct, bound[0]), true, true)), markup);
  }
  if (name == "replace") {
    const auto bound = arguments.bind(context, construct, {"s", "new", "count"});
    const bool all = bound[2].is_undefined() || bound[2].is_none();
    if (bound[0].is_undefined() || bound[1].is_undefined()) context.fail(construct, "expected two texts, got fewer");
    const std::string old = to_text(context, bound[0]), with = to_text(context, bound[1]);
    if (with.size() > old.size()) context.make((whole.size() / std::max<std::size_t>(old.size(), 1) + 1) * with.size());
    return context.text_value(
        python::replace(whole, old, with, all ? -1 : integer_or(context, construct, bound[2], -1)));
  }
  if (name == "center") {
    const auto bound = arguments.bind(context, construct, {"width"});
    const Arguments width{.positional = {bound[0].is_undefined() ? Value(std::int64_t{80}) : bound[0]}, .keyword = {}};
    return context.text_value(padded(context, construct, whole, width, "center"));
  }
  if (name == "format") {
    if (arguments.keyword.empty())
      return context.text_value(
          percent_formatted(context, whole, context.sequence(arguments.positional, Sequence::Kind::tuple)));
    context.fail(construct, "expected values by their place, got names; they are not supported");
  }
  arguments.bind(context, construct, {});
  if (name == "upper") return context.text_value(unicode::upper(whole), markup);
  if (name == "lower") return context.text_value(unicode::lower(whole), markup);
  if (name == "title") return context.text_value(title_filter(whole), markup);
  if (name == "capitalize") return context.text_value(python::capitalize(whole), markup);
  if (name == "safe") return context.text_value(whole, true);
  if (name == "e" || name == "escape") return context.text_value(markup ? whole : escaped(context, whole), true);
  return context.text_value(whole, markup);  // string
}

}  // namespace detail

/// `value | name(arguments)`, Jinja's filters. Throws DataError for a filter that is not known.
inline Value apply_filter(Context& context, std::string_view name, const Value& value, const Arguments& arguments) {
  const Context::Depth depth(context);
  using detail::is_in;
  static constexpr auto of_texts =
      std::to_array<std::string_view>({"trim", "replace", "center", "format", "upper", "lower", "title", "capitalize",
                                       "safe", "e", "escape", "string"});
  static constexpr auto of_lists = std::to_array<std::string_view>(
      {"sort", "sum", "unique", "min", "max", "list", "first", "last", "reverse", "items", "length", "count"});
  if (is_in(of_texts, name)) return detail::text_filter(context, name, value, arguments);
  if (is_in(of_lists, name)) return detail::list_filter(context, name, value, arguments);
  if (name == "default" || name == "d") {
    const auto bound = arguments.bind(context, "filter default", {"default_value", "boolean"});
    const bool given = !arguments.positional.empty() || !bound[0].is_undefined();
    if (!value.is_undefined() && !(is_true(bound[1]) && !is_true(value))) return value;
    return given ? bound[0] : Value("");
  }
  if (name == "tojson") return detail::json_filter(context, value, arguments);
  if (name == "join") return detail::join_filter(context, value, arguments);
  if (name == "map") return detail::map_filter(context, value, arguments);
  if (name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr")
    return detail::select_filter(context, name, value, arguments);
  if (name == "dictsort") return detail::dictsort_filter(context, value, arguments);
  if (name == "indent") return detail::indent_filter(context, value, arguments);
  if (name == "int") return detail::int_filter(context, value, arguments);
  if (name == "float") return detail::float_filter(context, value, arguments);
  if (name == "round") return detail::round_filter(context, value, arguments);
  const std::string construct = text("filter ", name.substr(0, 40));
  if (name == "abs") {
    arguments.bind(context, construct, {});
    if (value.get<double>() != nullptr) return std::abs(value.number());
    if (value.is_integer())
      return value.integer() < 0 ? arithmetic(context, "-", Value(std::int64_t{0}), value) : value;
    context.fail(construct, text("expected a number, got ", value.type_name()));
  }
  if (name == "attr") {
    const auto bound = arguments.bind(context, construct, {"name"});
    return detail::attribute_of(context, value, required_text(context, construct, bound[0])).value_or(Value());
  }
  context.fail(construct, "expected a filter that is supported, got another");
}

}  // namespace greentrainer::templates
