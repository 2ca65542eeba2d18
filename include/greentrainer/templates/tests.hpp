#pragma once

#include <cmath>
#include <string>
#include <string_view>

#include "greentrainer/templates/methods.hpp"
#include "greentrainer/templates/operations.hpp"

namespace greentrainer::templates {

namespace detail {

/// Whether Python's iter() takes the value.
inline bool is_iterable(const Value& value) {
  return value.is_undefined() || value.text() != nullptr || value.sequence() != nullptr || value.dict() != nullptr ||
         value.get<Loop*>() != nullptr;
}

inline bool is_same(const Value& a, const Value& b) { return a.data() == b.data(); }

}  // namespace detail

/// `value is name(arguments)`, Jinja's tests. Throws DataError for a test that is not known.
inline bool apply_test(Context& context, std::string_view name, const Value& value, const Arguments& arguments) {
  const std::string construct = text("test ", name.substr(0, 40));
  const auto other = [&] { return arguments.bind(context, construct, {"other"})[0]; };
  const auto number = [&] {
    if (!value.is_integer()) context.fail(construct, text("expected a whole number, got ", value.type_name()));
    return value.integer();
  };
  if (name == "==" || name == "eq" || name == "equalto") return is_equal(context, value, other());
  if (name == "!=" || name == "ne") return !is_equal(context, value, other());
  if (name == "<" || name == "lt" || name == "lessthan") return compare(context, value, other()) < 0;
  if (name == "<=" || name == "le") return compare(context, value, other()) <= 0;
  if (name == ">" || name == "gt" || name == "greaterthan") return compare(context, value, other()) > 0;
  if (name == ">=" || name == "ge") return compare(context, value, other()) >= 0;
  if (name == "in") return contains(context, other(), value);
  if (name == "sameas") return detail::is_same(value, other());
  if (name == "divisibleby") {
    const Value divisor = other();
    if (!divisor.is_integer() || divisor.integer() == 0) context.fail(construct, "expected a divisor, got none");
    return divisor.integer() == -1 || number() % divisor.integer() == 0;
  }
  arguments.bind(context, construct, {});
  const Sequence* items = value.sequence();
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is_none();
  if (name == "string") return value.text() != nullptr;
  if (name == "mapping") return value.dict() != nullptr;
  if (name == "number") return value.is_number();
  if (name == "integer") return value.get<std::int64_t>() != nullptr;
  if (name == "float") return value.get<double>() != nullptr;
  if (name == "boolean") return value.get<bool>() != nullptr;
  if (name == "true") return value.get<bool>() != nullptr && value.integer() == 1;
  if (name == "false") return value.get<bool>() != nullptr && value.integer() == 0;
  if (name == "iterable") return detail::is_iterable(value);
  if (name == "sequence")
    return value.is_undefined() || value.text() != nullptr || value.dict() != nullptr ||
           (items != nullptr && items->kind <= Sequence::Kind::range);
  if (name == "callable") return value.is_undefined() || value.function() != nullptr;
  if (name == "odd") return number() % 2 != 0;
  if (name == "even") return number() % 2 == 0;
  if (name == "escaped") return value.text() != nullptr && value.text()->markup;
  if (name == "lower" || name == "upper") return detail::has_case(to_text(context, value), name == "upper");
  context.fail(construct, "expected a test that is supported, got another");
}

}  // namespace greentrainer::templates
