#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "greentrainer/report/svg.hpp"

namespace greentrainer {

struct PlotPoint {
  double x = 0;
  double y = 0;
  double spread = 0;  ///< half the length of a bar up and down; 0: none
};

struct PlotSeries {
  std::string name = {};
  std::vector<PlotPoint> points = {};
  std::size_t colour = 0;  ///< of series_colour: the same in all plots of a page
  bool joined = false;     ///< in a plot of points: a dashed line through them instead
};

/// Lines through the points of each series, or the points alone, as an SVG element that needs nothing else: axes with
/// round numbers, a legend, and names where a pointer rests. Points that are not finite are left out.
struct Plot {
  enum class Kind { lines, points };

  std::string title = {}, x_label = {}, y_label = {};
  Kind kind = Kind::lines;
  std::vector<PlotSeries> series = {};
  double width = 460;  ///< more where names in the legend are long
  double height = 320;

  std::string svg() const {
    const Range x = range([](const PlotPoint& p) { return p.x; }, [](const PlotPoint&) { return 0.0; });
    const Range y = range([](const PlotPoint& p) { return p.y; }, [](const PlotPoint& p) { return p.spread; });
    const auto place_x = [&](double v) { return left + (width - left - right) * (v - x.low) / (x.high - x.low); };
    const auto place_y = [&](double v) {
      return height - bottom - (height - bottom - top) * (v - y.low) / (y.high - y.low);
    };

    std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"" +
                      coordinate(width + legend_excess()) + "\" height=\"" + coordinate(height) +
                      "\" font-family=\"sans-serif\" font-size=\"11\">";
    out += label(width / 2, 14, "middle", "<tspan font-weight=\"bold\">" + escape_markup(title) + "</tspan>");
    out += "<path fill=\"none\" stroke=\"#888\" d=\"M" + coordinate(left) + "," + coordinate(top) + " V" +
           coordinate(height - bottom) + " H" + coordinate(width - right) + "\"/>";
    for (const double v : x.ticks()) {
      out += label(place_x(v), height - bottom + 14, "middle", short_number(v));
    }
    for (const double v : y.ticks()) {
      out += label(left - 5, place_y(v) + 4, "end", short_number(v, 4));
      out += "<path stroke=\"#eee\" d=\"M" + coordinate(left) + "," + coordinate(place_y(v)) + " H" +
             coordinate(width - right) + "\"/>";
    }
    out += label((left + width - right) / 2, height - 6, "middle", escape_markup(x_label));
    out += "<text text-anchor=\"middle\" transform=\"translate(12," + coordinate((top + height - bottom) / 2) +
           ") rotate(-90)\">" + escape_markup(y_label) + "</text>";
    for (std::size_t i = 0; i < series.size(); ++i) {
      out += drawn(series[i], series_colour(series[i].colour), place_x, place_y);
      out += label(width - right + 22, top + 12 + 16 * static_cast<double>(i), "start", escape_markup(series[i].name));
      out += "<rect width=\"10\" height=\"10\" x=\"" + coordinate(width - right + 8) + "\" y=\"" +
             coordinate(top + 3 + 16 * static_cast<double>(i)) + "\" fill=\"" + series_colour(series[i].colour) +
             "\"/>";
    }
    return out + "</svg>";
  }

 private:
  /// What the longest name needs beyond the usual room, at about 6 units a character.
  double legend_excess() const {
    std::size_t longest = 0;
    for (const PlotSeries& s : series) longest = std::max(longest, s.name.size());
    return std::max(0.0, 6.0 * static_cast<double>(longest) + 26 - right);
  }

  static constexpr double left = 62, right = 150, top = 26, bottom = 40;

  /// What an axis shows: somewhat more than the values, and ticks at round numbers.
  struct Range {
    double low = 0, high = 1, step = 1;

    std::vector<double> ticks() const {
      std::vector<double> ticks;
      const double first = std::ceil(low / step);
      for (int i = 0; i <= 10 && (first + i) * step <= high; ++i) ticks.push_back((first + i) * step);
      return ticks;
    }
  };

  template <class Value, class Spread>
  Range range(Value value, Spread spread) const {
    Range r{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), 1};
    for (const PlotSeries& s : series) {
      for (const PlotPoint& p : s.points) {
        if (!finite(p)) continue;
        r.low = std::min(r.low, value(p) - spread(p));
        r.high = std::max(r.high, value(p) + spread(p));
      }
    }
    if (!(r.low <= r.high)) r.low = r.high = 0;
    // Values that differ in their last digits alone are one value on paper.
    const bool apart = r.high - r.low > 1e-9 * std::max(std::abs(r.low), std::abs(r.high));
    const double room = apart ? 0.06 * (r.high - r.low) : std::max(0.5, 0.1 * std::abs(r.high));
    r.low -= room;
    r.high += room;
    const double power = std::pow(10.0, std::floor(std::log10((r.high - r.low) / 4)));
    for (const double round : {1.0, 2.0, 5.0, 10.0}) {
      r.step = round * power;
      if ((r.high - r.low) / r.step <= 6) break;
    }
    return r;
  }

  static bool finite(const PlotPoint& p) { return std::isfinite(p.x) && std::isfinite(p.y) && std::isfinite(p.spread); }

  static std::string label(double x, double y, const char* anchor, const std::string& markup) {
    return "<text x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" text-anchor=\"" + anchor + "\">" + markup +
           "</text>";
  }

  template <class PlaceX, class PlaceY>
  std::string drawn(const PlotSeries& s, const std::string& colour, PlaceX place_x, PlaceY place_y) const {
    std::string out, line;
    for (const PlotPoint& p : s.points) {
      if (!finite(p)) continue;
      const std::string x = coordinate(place_x(p.x));
      line += (line.empty() ? "" : " ") + x + "," + coordinate(place_y(p.y));
      if (p.spread > 0) {
        out += "<path stroke=\"" + colour + "\" d=\"M" + x + "," + coordinate(place_y(p.y - p.spread)) + " V" +
               coordinate(place_y(p.y + p.spread)) + "\"/>";
      }
      if ((kind == Kind::points && !s.joined) || s.points.size() == 1) {
        out += "<circle r=\"4\" fill=\"" + colour + "\" cx=\"" + x + "\" cy=\"" + coordinate(place_y(p.y)) +
               "\"><title>" + escape_markup(s.name) + ": " + short_number(p.x, 4) + ", " + short_number(p.y, 4) +
               "</title></circle>";
      }
    }
    if ((kind == Kind::lines || s.joined) && s.points.size() > 1) {
      out += std::string("<polyline fill=\"none\"") + (s.joined ? " stroke-dasharray=\"4 3\"" : "") +
             " stroke-width=\"1.6\" stroke=\"" + colour + "\" points=\"" + line + "\"><title>" + escape_markup(s.name) +
             "</title></polyline>";
    }
    return out;
  }
};

}  // namespace greentrainer
