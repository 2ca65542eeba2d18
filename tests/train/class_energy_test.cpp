// Watts by class of what computes, from made-up counters that advance by what a test says.

#include "greentrainer/train/class_energy.hpp"

#include <string>

#include <doctest/doctest.h>

#include "greentrainer/cost/operator_times.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;

namespace {

/// A powercap of one package, and the meter that reads it.
struct MadeUpPackage {
  testing::TemporaryFolder folder;
  double joules = 0;
  EnergyMeter meter = made();

  EnergyMeter made() const {
    folder.write("intel-rapl:0/name", "package-0\n");
    write();
    return EnergyMeter(folder.path());
  }
  void write() const {
    folder.write("intel-rapl:0/energy_uj", std::to_string(static_cast<long long>(joules * 1e6)) + "\n");
  }
  /// Something computes for so many seconds.
  void draw(double watts, double seconds) {
    joules += watts * seconds;
    write();
  }
  EnergyReading reading() {
    return [this] { return meter.joules(); };
  }
};

constexpr double interval = 1e-3;

}  // namespace

TEST_CASE("each class has the watts that the counter showed while it computed") {
  MadeUpPackage package;
  ClassEnergy energy(package.reading(), interval);
  package.draw(1000, 1);  // before it began
  energy.begin();
  for (int pass = 0; pass < 10; ++pass) {
    package.draw(200, 0.02);
    energy.add("products", 0.02);
    package.draw(80, 0.01);
    energy.add("elementwise", 0.01);
    CHECK(energy.wants_more() == (pass < 4));
  }
  const auto watts = energy.watts();
  CHECK(watts.size() == 2);
  CHECK(watts.at("products") == doctest::Approx(200).epsilon(1e-4));
  CHECK(watts.at("elementwise") == doctest::Approx(80).epsilon(1e-4));
}

TEST_CASE("what is shorter than the counter can tell apart has no watts of its own, and spoils no other's") {
  MadeUpPackage package;
  ClassEnergy energy(package.reading(), interval);
  energy.begin();
  for (int pass = 0; pass < 100; ++pass) {
    package.draw(200, 0.005);
    energy.add("products", 0.005);
    package.draw(900, 0.004);
    energy.add("elementwise", 0.004);
  }
  package.draw(90, 0.04);  // long enough to be told apart, but less than 50 ms of it
  energy.add("attention", 0.04);
  CHECK(energy.wants_more());
  const auto watts = energy.watts();
  CHECK(watts.size() == 1);
  CHECK(watts.at("products") == doctest::Approx(200).epsilon(1e-4));
}

TEST_CASE("a counter that changes rarely asks for as much longer work") {
  MadeUpPackage package;
  ClassEnergy energy(package.reading(), 0.1);
  CHECK(energy.enough() == 2);
  energy.begin();
  package.draw(300, 1);
  energy.add("updates", 1);
  CHECK(energy.watts().empty());
  package.draw(300, 1);
  energy.add("updates", 1);
  CHECK(energy.watts().at("updates") == doctest::Approx(300).epsilon(1e-4));
}

TEST_CASE("a counter that fails on the way gives no watts for what it has not seen") {
  int readings = 0;
  ClassEnergy energy(
      [&]() -> std::optional<double> {
        if (++readings == 3) return std::nullopt;
        return readings * 10.0;
      },
      interval);
  energy.begin();
  energy.add("products", 0.1);
  energy.add("attention", 0.1);    // the reading behind it fails
  energy.add("elementwise", 0.1);  // so there is none in front of this
  CHECK(energy.watts().size() == 1);
  CHECK(energy.watts().at("products") == doctest::Approx(100));
}

TEST_CASE("times at the mean power are joules: each class counts by what it draws") {
  OperatorTimes times{.parts = {{"linear forward 0:12", {.per_unit = 10, .per_pass = 100}},
                                {"fused_attention grad_input 2:1", {.per_unit = 10, .per_pass = 0}},
                                {"layer_norm forward 0:3", {.per_unit = 10, .per_pass = 4}}},
                      .per_pass = 50,
                      .per_update = {{"12 FLOPs 8 bytes of state", 7}},
                      .per_clipped = 2,
                      .watts = 100,
                      .watts_of = {{"products", 150}, {"elementwise", 50}, {"updates", 200}}};
  const OperatorTimes powered = at_mean_power(times);
  CHECK(powered.parts.at("linear forward 0:12") == PartTime{.per_unit = 15, .per_pass = 150});
  CHECK(powered.parts.at("fused_attention grad_input 2:1") == PartTime{.per_unit = 10, .per_pass = 0});  // the mean
  CHECK(powered.parts.at("layer_norm forward 0:3") == PartTime{.per_unit = 5, .per_pass = 2});
  CHECK(powered.per_update.begin()->second == 14);
  CHECK(powered.per_clipped == 4);
  CHECK(powered.per_pass == 50);
  times.watts_of.clear();
  CHECK(at_mean_power(times) == times);
}
