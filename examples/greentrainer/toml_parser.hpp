#pragma once

// toml++, with its assertions as exceptions. It asserts on some texts that are no TOML, such as `x = 1979-05-27T:1` or
// `a.= 1`; with NDEBUG it takes for granted what it would assert otherwise, which is undefined behaviour. To be
// included in the place of <toml++/toml.h>, everywhere, since its functions are inline.

#include <stdexcept>

#ifdef TOMLPLUSPLUS_H
#error "toml++ was included before toml_parser.hpp"
#endif

namespace greentrainer::program {

/// An assertion of toml++ that does not hold.
class TomlAssertion : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

constexpr void expect_toml(bool holds, const char* what) {
  if (!holds) throw TomlAssertion(what);
}

}  // namespace greentrainer::program

#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expr) ::greentrainer::program::expect_toml(static_cast<bool>(expr), #expr)
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")
