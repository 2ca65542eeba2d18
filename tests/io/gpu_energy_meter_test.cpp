// The energy counter of a GPU, by a made-up NVML.

#include "greentrainer/io/gpu_energy_meter.hpp"

#include <optional>
#include <string>

#include <doctest/doctest.h>

#include "support/made_up_nvml.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

constexpr const char* address = "0000:3B:00.0";

}  // namespace

TEST_CASE("a GPU's energy is counted from construction on, of the device at the address") {
  const MadeUpNvml nvml;
  nvml->millijoules = 7'000'000'000'000;  // of years before
  {
    GpuEnergyMeter meter(address, nvml.path);
    CHECK(meter.problem().empty());
    CHECK(meter.name() == "GPU 0000:3B:00.0");
    CHECK(std::string(nvml->address) == address);
    CHECK(meter.joules() == 0.0);
    nvml->millijoules += 1500;
    CHECK(meter.joules() == 1.5);
    CHECK(meter.joules() == 1.5);  // nothing counts twice
    nvml->millijoules += 1;
    CHECK(meter.joules() == doctest::Approx(1.501).epsilon(1e-12));
    CHECK(nvml->initialised == 1);
  }
  CHECK(nvml->initialised == 0);  // and is left as it was found
}

TEST_CASE("two meters count by themselves, and one may end before the other") {
  const MadeUpNvml nvml;
  nvml->millijoules = 1000;
  std::optional<GpuEnergyMeter> first(std::in_place, address, nvml.path);
  nvml->millijoules = 3000;
  GpuEnergyMeter second(address, nvml.path);
  nvml->millijoules = 4000;
  CHECK(first->joules() == 3.0);
  first.reset();
  CHECK(second.joules() == 1.0);
}

TEST_CASE("a library that is not there, and one without the function, are told by name") {
  const TemporaryFolder folder;
  const std::string absent = (folder / "libnvidia-ml.so.1").string();
  GpuEnergyMeter nowhere(address, absent);
  CHECK_FALSE(nowhere.joules());
  CHECK(nowhere.problem().starts_with(absent + " cannot be opened ("));
  CHECK(has(nowhere.problem(), "; it is a part of NVIDIA's driver"));

  folder.write("libnvidia-ml.so.1", "no library");
  CHECK(has(GpuEnergyMeter(address, absent).problem(), "libnvidia-ml.so.1 cannot be opened ("));

  const MadeUpNvml old(GREENTRAINER_OLD_MADE_UP_NVML);
  GpuEnergyMeter before(address, old.path);
  CHECK_FALSE(before.joules());
  CHECK(before.problem() ==
        old.path + " has no function nvmlDeviceGetTotalEnergyConsumption; the driver may be too old");
  CHECK(old->initialised == 0);
}

TEST_CASE("what NVML refuses is told with its own words, and is no number") {
  const MadeUpNvml nvml;
  const auto problem = [&] {
    GpuEnergyMeter meter(address, nvml.path);
    CHECK_FALSE(meter.joules());
    return meter.problem();
  };
  nvml->init = 9;
  CHECK(problem() == "nvmlInit_v2 fails: Another Error (9)");
  CHECK(nvml->initialised == 0);
  nvml->init = 0;
  nvml->device = 6;
  CHECK(problem() == "GPU 0000:3B:00.0 is not known to NVML: Not Found (6)");
  nvml->device = 4;
  CHECK(problem() == "GPU 0000:3B:00.0 cannot be asked: Another Error (4)");
  nvml->device = 0;
  nvml->energy = 3;
  CHECK(problem() == "the energy of GPU 0000:3B:00.0 is not counted, as before Volta: Not Supported (3)");
  nvml->names_errors = false;
  CHECK(has(problem(), "an unknown error (3)"));
  CHECK(nvml->initialised == 0);
}

TEST_CASE("energy of a part of the time is not given for all of it: a counter that goes back or is lost on the way") {
  const MadeUpNvml nvml;
  nvml->millijoules = 5000;
  GpuEnergyMeter back(address, nvml.path), lost(address, nvml.path);
  nvml->millijoules = 6000;
  CHECK(back.joules() == 1.0);
  CHECK(lost.joules() == 1.0);
  nvml->millijoules = 10;
  CHECK_FALSE(back.joules());
  CHECK(back.problem() ==
        "the energy counter of GPU 0000:3B:00.0 has gone back from 6000 mJ to 10 mJ; was the driver loaded anew?");
  nvml->millijoules = 9000;
  CHECK_FALSE(back.joules());

  nvml->energy = 15;
  CHECK_FALSE(lost.joules());
  CHECK(lost.problem() == "the energy of GPU 0000:3B:00.0 cannot be read: GPU is lost (15)");
  nvml->energy = 0;
  CHECK_FALSE(lost.joules());
}
