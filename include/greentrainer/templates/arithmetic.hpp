#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/templates/context.hpp"
#include "greentrainer/templates/operations.hpp"
#include "greentrainer/templates/value.hpp"

namespace greentrainer::templates {

/// What went wrong with the operands of an operator.
inline std::string operands(std::string_view sign, const Value& a, const Value& b) {
  return text("expected operands of \"", sign, "\" that Python has it for, got ", a.type_name(), " and ",
              b.type_name());
}

namespace detail {

inline Value repeated(Context& context, const Value& value, const Value& times) {
  const std::int64_t count = std::max<std::int64_t>(0, times.integer());
  const std::size_t size = value.text() != nullptr ? value.text()->bytes.size() : value.sequence()->items.size();
  if (size == 0 || count == 0)
    return value.text() != nullptr ? Value("") : context.sequence({}, value.sequence()->kind);
  if (count > (std::int64_t{1} << 32)) context.make(std::numeric_limits<std::size_t>::max());
  context.make(static_cast<std::size_t>(count) * size);
  if (const Text* text = value.text()) {
    std::string result;
    for (std::int64_t i = 0; i < count; ++i) result += text->bytes;
    return Value(std::move(result), text->markup);
  }
  std::vector<Value> result;
  context.make(static_cast<std::size_t>(count) * size * sizeof(Value));
  for (std::int64_t i = 0; i < count; ++i)
    result.insert(result.end(), value.sequence()->items.begin(), value.sequence()->items.end());
  return context.sequence(std::move(result), value.sequence()->kind);
}

inline Value float_arithmetic(const Context& context, std::string_view sign, double a, double b) {
  if (sign == "+") return a + b;
  if (sign == "-") return a - b;
  if (sign == "*") return a * b;
  if (sign == "**") return std::pow(a, b);
  if (b == 0) context.fail("division", "expected a divisor, got 0");
  if (sign == "/") return a / b;
  double remainder = std::fmod(a, b);
  if (remainder != 0 && (remainder < 0) != (b < 0)) remainder += b;
  if (sign == "%") return remainder == 0 ? std::copysign(0.0, b) : remainder;
  const double quotient = std::round((a - remainder) / b);
  return quotient;
}

inline Value integer_arithmetic(const Context& context, std::string_view sign, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  const auto checked = [&](bool overflow) {
    if (overflow) context.fail("arithmetic", "expected numbers of 64 bits, got one beyond them");
    return Value(result);
  };
  if (sign == "+") return checked(__builtin_add_overflow(a, b, &result));
  if (sign == "-") return checked(__builtin_sub_overflow(a, b, &result));
  if (sign == "*") return checked(__builtin_mul_overflow(a, b, &result));
  if (sign == "**") {
    if (b < 0) return float_arithmetic(context, sign, static_cast<double>(a), static_cast<double>(b));
    result = 1;
    if (b > 64 && a != 0 && a != 1 && a != -1) return checked(true);
    for (std::int64_t i = 0; i < (b > 64 ? b % 2 + (a == 0 || a == 1 ? 1 : 0) : b); ++i) {
      if (__builtin_mul_overflow(result, a, &result)) return checked(true);
    }
    return Value(result);
  }
  if (b == 0) context.fail("division", "expected a divisor, got 0");
  if (sign == "/") return static_cast<double>(a) / static_cast<double>(b);
  if (b == -1) {  // the one quotient that overflows
    if (sign == "%") return std::int64_t{0};
    return checked(__builtin_sub_overflow(std::int64_t{0}, a, &result));
  }
  const bool rounds = a % b != 0 && (a < 0) != (b < 0);
  return sign == "%" ? a % b + (rounds ? b : 0) : a / b - (rounds ? 1 : 0);
}

}  // namespace detail

/// `+ - * / // % **`, but for the formatting of texts with %.
inline Value arithmetic(Context& context, std::string_view sign, const Value& a, const Value& b) {
  const Text *text = a.text(), *other = b.text();
  const Sequence *items = a.sequence(), *others = b.sequence();
  if (sign == "+" && text != nullptr && other != nullptr) {
    if (text->markup != other->markup) {  // Markup escapes what is added to it
      const std::string left = text->markup ? text->bytes : escaped(context, text->bytes);
      return context.text_value(left + (other->markup ? other->bytes : escaped(context, other->bytes)), true);
    }
    context.make(text->bytes.size() + other->bytes.size());
    return Value(text->bytes + other->bytes, text->markup);
  }
  if (sign == "+" && items != nullptr && others != nullptr && items->kind == others->kind &&
      items->kind <= Sequence::Kind::tuple) {
    context.make((items->items.size() + others->items.size()) * sizeof(Value));
    std::vector<Value> result = items->items;
    result.insert(result.end(), others->items.begin(), others->items.end());
    return context.sequence(std::move(result), items->kind);
  }
  const auto repeats = [](const Value& value) {
    return value.text() != nullptr || (value.sequence() != nullptr && value.sequence()->kind <= Sequence::Kind::tuple);
  };
  if (sign == "*" && repeats(a) && b.is_integer()) return detail::repeated(context, a, b);
  if (sign == "*" && repeats(b) && a.is_integer()) return detail::repeated(context, b, a);
  if (a.is_integer() && b.is_integer()) return detail::integer_arithmetic(context, sign, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return detail::float_arithmetic(context, sign, a.number(), b.number());
  context.fail(greentrainer::text("operator ", sign), operands(sign, a, b));
}

}  // namespace greentrainer::templates
