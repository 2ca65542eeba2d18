// Plots end, and end well formed, whatever the values.

#include "greentrainer/report/plot.hpp"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

using namespace greentrainer;

namespace {

std::size_t ticks_of(std::vector<PlotPoint> points) {
  Plot plot;
  plot.series = {{.name = "values", .points = std::move(points)}};
  const std::string svg = plot.svg();
  CHECK(svg.ends_with("</svg>"));
  CHECK(svg.find("nan") == std::string::npos);
  std::size_t count = 0;  // a grid line for each tick of the upright axis
  for (std::size_t at = svg.find("#eee"); at != std::string::npos; at = svg.find("#eee", at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("an axis has a few round ticks, also where values differ in their last digit, are huge, or are the same") {
  const double next = std::nextafter(2.5, 3.0);
  const double large = std::numeric_limits<double>::max() / 4;
  for (const auto& points : {std::vector<PlotPoint>{{.x = 0, .y = 2.5}, {.x = 1, .y = next}},
                             std::vector<PlotPoint>{{.x = 0, .y = 0}, {.x = 1, .y = 1}},
                             std::vector<PlotPoint>{{.x = 0, .y = -large}, {.x = 1, .y = large}},
                             std::vector<PlotPoint>{{.x = 0, .y = 1e-300}, {.x = 1, .y = 3e-300}},
                             std::vector<PlotPoint>{{.x = 0, .y = -3}, {.x = 1, .y = 7}},
                             std::vector<PlotPoint>{{.x = 5, .y = 5}}, std::vector<PlotPoint>{}}) {
    const std::size_t ticks = ticks_of(points);
    CHECK(ticks >= 2);
    CHECK(ticks <= 8);
  }
}
