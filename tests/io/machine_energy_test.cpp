// The energy of processors and a GPU together, on a made-up powercap and a made-up NVML.

#include "greentrainer/io/machine_energy.hpp"

#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "support/made_up_nvml.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

constexpr const char* address = "0000:3B:00.0";

/// One processor package that has taken so much.
void write_package(const TemporaryFolder& powercap, const std::string& microjoules) {
  powercap.write("intel-rapl:0/name", "package-0\n");
  powercap.write("intel-rapl:0/max_energy_range_uj", "262143328850\n");
  powercap.write("intel-rapl:0/energy_uj", microjoules + "\n");
}

}  // namespace

TEST_CASE("beside a GPU the sum is that of processors and GPU, each by its name") {
  const TemporaryFolder powercap;
  const MadeUpNvml nvml;
  write_package(powercap, "1000000");
  MachineEnergy energy(address, {.powercap = powercap.path(), .nvml = nvml.path});
  CHECK(energy.problem().empty());
  const EnergyReading reading = energy.reading();
  REQUIRE(reading);
  CHECK(reading() == 0.0);
  write_package(powercap, "3000000");
  nvml->millijoules = 40'000;
  CHECK(reading() == 42.0);
  const auto parts = energy.parts();
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].name == "processors");
  CHECK(parts[0].joules == 2.0);
  CHECK(parts[1].name == "GPU 0000:3B:00.0");
  CHECK(parts[1].joules == 40.0);
}

TEST_CASE("without a GPU NVML is not asked") {
  const TemporaryFolder powercap;
  write_package(powercap, "1000000");
  MachineEnergy energy({}, {.powercap = powercap.path(), .nvml = "/nowhere/libnvidia-ml.so.1"});
  write_package(powercap, "1500000");
  CHECK(energy.joules() == 0.5);
  CHECK(energy.parts().size() == 1);
  CHECK(energy.problem().empty());
}

TEST_CASE("where one of the two is missing there is no sum, but its reason, and the other's number by its name") {
  const TemporaryFolder powercap, empty;
  const MadeUpNvml nvml;
  write_package(powercap, "1000000");
  const std::string nowhere = "/nowhere/libnvidia-ml.so.1";

  MachineEnergy no_gpu(address, {.powercap = powercap.path(), .nvml = nowhere});
  CHECK_FALSE(no_gpu.joules());
  CHECK_FALSE(no_gpu.reading());
  CHECK(no_gpu.problem().starts_with(nowhere + " cannot be opened"));
  CHECK(no_gpu.parts()[0].joules == 0.0);
  CHECK_FALSE(no_gpu.parts()[1].joules);
  CHECK(no_gpu.parts()[1].problem == no_gpu.problem());

  MachineEnergy no_processors(address, {.powercap = empty.path(), .nvml = nvml.path});
  nvml->millijoules = 3000;
  CHECK_FALSE(no_processors.joules());
  CHECK(no_processors.problem().starts_with("no counter of a processor package (RAPL) in "));
  CHECK(no_processors.parts()[1].joules == 3.0);

  MachineEnergy neither(address, {.powercap = empty.path(), .nvml = nowhere});
  CHECK(has(neither.problem(), "no counter of a processor package (RAPL) in "));
  CHECK(has(neither.problem(), "; " + nowhere + " cannot be opened"));
}

TEST_CASE("the interval of a counter is measured between its changes, and not at all where it stands still") {
  double now = 0;
  const auto clock = [&] { return now += 1e-4; };
  const EnergyReading ticking = [&]() -> std::optional<double> {
    return static_cast<double>(static_cast<int>(now * 100));
  };
  CHECK(interval_of(ticking, clock).value() == doctest::Approx(0.01).epsilon(0.05));
  CHECK_FALSE(interval_of([]() -> std::optional<double> { return 5.0; }, clock));
  CHECK_FALSE(interval_of([]() -> std::optional<double> { return std::nullopt; }, clock));
}

TEST_CASE("a machine whose counters stand still has no interval between their changes") {
  const TemporaryFolder powercap;
  write_package(powercap, "1000000");
  CHECK_FALSE(MachineEnergy({}, {.powercap = powercap.path()}).interval(0.01));
}

TEST_CASE("a GPU that is lost on the way ends the sum") {
  const TemporaryFolder powercap;
  const MadeUpNvml nvml;
  write_package(powercap, "1000000");
  MachineEnergy energy(address, {.powercap = powercap.path(), .nvml = nvml.path});
  const EnergyReading reading = energy.reading();
  CHECK(reading() == 0.0);
  nvml->energy = 15;
  CHECK_FALSE(reading());
  CHECK(energy.problem() == "the energy of GPU 0000:3B:00.0 cannot be read: GPU is lost (15)");
  nvml->energy = 0;
  CHECK_FALSE(reading());
}
