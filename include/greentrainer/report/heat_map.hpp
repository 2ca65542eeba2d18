#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "greentrainer/report/svg.hpp"

namespace greentrainer {

/// A cell of a HeatMap: how much, and whether it was chosen.
struct HeatCell {
  double value = 0;
  bool marked = false;
};

/// Rows by columns of coloured cells as an SVG element: white for 0, deep blue for the column's largest value, orange
/// for what is below 0; a green bar at the left of a cell marks it. Each cell tells its row, column and value where a
/// pointer rests. Rows are thin: hundreds of tensors fit on a page.
struct HeatMap {
  std::string title = {};
  std::vector<std::string> rows = {};
  std::vector<std::string> columns = {};
  std::vector<std::vector<HeatCell>> cells = {};  ///< [row][column]
  double row_height = 9;
  double column_width = 70;

  std::string svg() const {
    double name_width = 60;
    for (const std::string& name : rows) name_width = std::max(name_width, 5.0 * static_cast<double>(name.size()) + 10);
    std::vector<double> largest(columns.size(), 0);
    for (const auto& row : cells) {
      for (std::size_t c = 0; c < row.size(); ++c) {
        if (std::isfinite(row[c].value)) largest[c] = std::max(largest[c], std::abs(row[c].value));
      }
    }
    const double width = name_width + column_width * static_cast<double>(columns.size()) + 10;
    const double height = top + row_height * static_cast<double>(rows.size()) + 6;
    std::string out =
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"" + coordinate(width) + "\" height=\"" +
        coordinate(height) +
        "\" font-family=\"sans-serif\" font-size=\"8\"><text x=\"4\" y=\"12\" font-size=\"11\" font-weight=\"bold\">" +
        escape_markup(title) + "</text>";
    for (std::size_t c = 0; c < columns.size(); ++c) {
      out += "<text text-anchor=\"middle\" x=\"" +
             coordinate(name_width + column_width * (static_cast<double>(c) + 0.5)) + "\" y=\"" + coordinate(top - 4) +
             "\">" + escape_markup(columns[c]) + "</text>";
    }
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const double y = top + row_height * static_cast<double>(r);
      out += "<text text-anchor=\"end\" x=\"" + coordinate(name_width - 5) + "\" y=\"" +
             coordinate(y + row_height - 2) + "\">" + escape_markup(rows[r]) + "</text>";
      for (std::size_t c = 0; c < cells[r].size(); ++c)
        out += drawn(r, c, name_width + column_width * static_cast<double>(c), y, largest[c]);
    }
    return out + "</svg>";
  }

 private:
  static constexpr double top = 34;

  /// The square root of the share: importances differ by orders of magnitude, and all but the largest would be white.
  static std::string colour(double value, double largest) {
    if (!std::isfinite(value)) return "#bbb";
    const double share = largest > 0 ? std::sqrt(std::min(1.0, std::abs(value) / largest)) : 0;
    const auto mix = [&](int full) {
      return std::to_string(static_cast<int>(std::lround(255 + share * (full - 255))));
    };
    return value < 0 ? "rgb(" + mix(230) + "," + mix(140) + "," + mix(0) + ")"
                     : "rgb(" + mix(8) + "," + mix(48) + "," + mix(120) + ")";
  }

  std::string drawn(std::size_t r, std::size_t c, double x, double y, double largest) const {
    const HeatCell& cell = cells[r][c];
    const std::string place =
        "x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" height=\"" + coordinate(row_height - 0.5) + "\"";
    std::string out = "<rect " + place + " width=\"" + coordinate(column_width - 2) + "\" fill=\"" +
                      colour(cell.value, largest) + "\"><title>" + escape_markup(rows[r]) + ", " +
                      escape_markup(columns[c]) + ": " + short_number(cell.value, 4) +
                      (cell.marked ? ", selected" : "") + "</title></rect>";
    if (cell.marked) out += "<rect " + place + " width=\"8\" fill=\"#2ca02c\"/>";
    return out;
  }
};

}  // namespace greentrainer
