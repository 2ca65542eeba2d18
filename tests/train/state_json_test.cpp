// The text of a saved state: as its JSON would be written, but in pieces, and read back to the bit.

#include "greentrainer/train/state_json.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "greentrainer/train/training_state_fields.hpp"
#include "support/written_state.hpp"

using namespace greentrainer;
using greentrainer::testing::written;

TEST_CASE("a state is written as its JSON is, in pieces that do not grow with the steps") {
  TrainingState state;
  CHECK(parse_json(written(state), "test")["report"]["history"] == Json::object());
  state.identity["model"] = "quotes \" and \n lines, \xc3\xa4, and no UTF-8: \xff";
  state.cached = {0, 7, 5000};
  for (Extent step = 1; step <= 5000; ++step) {
    StepRecord record{.step = step, .loss = 1.0 / static_cast<double>(step), .flops = Flops{1} << 62};
    if (step % 3 == 0) record.joules = -0.1;
    if (step == 9) record.loss = std::numeric_limits<double>::quiet_NaN();
    state.report.history.push_back(record);
    if (step % 1000 == 0) {
      state.report.selections.push_back(
          {.step = step, .names = {"a", "b"}, .importance = {{"b", 0.5}, {"a", -1e-300}}});
      state.report.evaluations.push_back({.step = step, .loss = 2, .metric = 0.25, .best = step == 2000});
    }
  }
  std::size_t most = 0;
  StateWriter::write([&most](std::string_view piece) { most = std::max(most, piece.size()); }, state);
  CHECK(most < 30000);  // 1024 numbers
  const std::string text = written(state);
  CHECK(text.size() > 300000);
  CHECK(parse_json(text, "test").dump(-1, ' ', true) == text);  // keys in order, numbers as Json writes them
  const Json json = parse_json(text, "test");
  CHECK(json["cached"] == Json({0, 7, 5000}));
  const Json& report = json["report"];
  CHECK(report["selections"][4]["importance"]["a"] == -1e-300);
  CHECK(report["evaluations"]["best"] == Json({false, true, false, false, false}));
  CHECK(report["history"]["step"].size() == 5000);
  CHECK(report["history"]["step"][4999] == 5000);
  CHECK(report["history"]["joules"][1] == nullptr);
  CHECK(report["history"]["joules"][2] == -0.1);
  CHECK(report["history"]["loss"][8] == "nan");
  CHECK(report["history"]["loss"][9] == 0.1);
}

TEST_CASE("numbers of a state read back to the bit, those that JSON has not, too") {
  TrainingState state;
  const double inf = std::numeric_limits<double>::infinity();
  for (const double number : {0.1, -0.0, 5e-324, 1.7976931348623157e308, inf, -inf, 1.0 / 3, 16777217.0})
    state.report.history.push_back({.loss = number, .seconds = -number});
  const Json json = parse_json(written(state), "test");
  StateReader reader(json, "test");
  TrainingState back;
  fields(reader, back);
  REQUIRE(back.report.history.size() == state.report.history.size());
  for (std::size_t i = 0; i < back.report.history.size(); ++i) {
    CHECK(std::bit_cast<std::uint64_t>(back.report.history[i].loss) ==
          std::bit_cast<std::uint64_t>(state.report.history[i].loss));
    CHECK(std::bit_cast<std::uint64_t>(back.report.history[i].seconds) ==
          std::bit_cast<std::uint64_t>(state.report.history[i].seconds));
  }
}
