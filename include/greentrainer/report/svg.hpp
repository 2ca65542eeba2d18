#pragma once

#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>

namespace greentrainer {

/// Text as it may stand in HTML and SVG, in attributes too.
inline std::string escape_markup(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

/// A coordinate with a tenth of a pixel, which is more than eyes have and less than a file needs.
inline std::string coordinate(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

/// A number of an axis or a table: `digits` significant ones, without trailing zeros.
inline std::string short_number(double value, int digits = 3) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

/// Colours that stay apart for colour-blind readers (Okabe and Ito, and two more); they repeat after ten.
inline const char* series_colour(std::size_t index) {
  static constexpr const char* colours[] = {"#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                            "#e69f00", "#56b4e9", "#8a7f00", "#999999", "#661100"};
  return colours[index % std::size(colours)];
}

}  // namespace greentrainer
