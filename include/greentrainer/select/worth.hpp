#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// What a block of parameters (a transformer block, say) is worth by the sum of the importances that are chosen of it:
/// a concave function that never falls and is 0 at 0, so that the second tensor of a block adds less than the first.
struct Worth {
  enum class Form {
    additive,     ///< the sum itself: blocks do not matter
    square_root,  ///< its square root; what is chosen does not depend on the importances' scale
    saturating    ///< scale (1 - exp(-sum / scale)): the sum, where it is small, and never more than `scale`
  };

  Form form = Form::additive;
  double scale = 1;  ///< for saturating alone, in the unit of importances; more than 0

  bool is_additive() const { return form == Form::additive; }
  /// Sums that are not positive are worth what they are.
  double of(double sum) const {
    if (sum <= 0 || is_additive()) return sum;
    return form == Form::square_root ? std::sqrt(sum) : -scale * std::expm1(-sum / scale);
  }

  bool operator==(const Worth&) const = default;
};

/// What parse_worth knows, in the order of Worth::Form.
inline constexpr std::array worth_names = {"additive", "square-root", "saturating"};

/// The form of a name. Throws UsageError for any that worth_names do not have.
inline Worth::Form parse_worth(std::string_view name) {
  const auto found = std::find(worth_names.begin(), worth_names.end(), name);
  if (found != worth_names.end()) return static_cast<Worth::Form>(found - worth_names.begin());
  std::string known;
  for (const char* one : worth_names) known += text(known.empty() ? "" : ", ", one);
  throw UsageError("parse_worth", "worth", text("expected one of ", known, "; got ", name));
}

}  // namespace greentrainer
