// Energy counters, on made-up trees of powercap.

#include "greentrainer/io/energy_meter.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// A domain of powercap with these files; an empty text leaves one out.
void write_domain(const TemporaryFolder& folder, const std::string& domain, const std::string& name,
                  const std::string& microjoules, const std::string& range = "262143328850") {
  folder.write(domain + "/name", name + "\n");
  if (!microjoules.empty()) folder.write(domain + "/energy_uj", microjoules + "\n");
  if (!range.empty()) folder.write(domain + "/max_energy_range_uj", range + "\n");
}

}  // namespace

TEST_CASE("packages are added up; their parts, psys and other controls are not") {
  const TemporaryFolder folder;
  const auto count = [&](const char* first, const char* second, const char* others) {
    write_domain(folder, "intel-rapl:0", "package-0", first);
    write_domain(folder, "intel-rapl:1", "package-1", second);
    write_domain(folder, "intel-rapl:0:0", "core", others);
    write_domain(folder, "intel-rapl:0:1", "dram", others);
    write_domain(folder, "intel-rapl:2", "psys", others);
    write_domain(folder, "intel-rapl-mmio:0", "package-0", others);
    write_domain(folder, "dtpm:0", "package-0", others);
  };
  count("1000000", "5000000", "7");
  EnergyMeter meter(folder.path());
  CHECK(meter.packages() == 2);
  CHECK(meter.problem().empty());
  CHECK(meter.joules() == 0.0);
  count("4000000", "5500000", "900000000");
  CHECK(meter.joules().value() == doctest::Approx(3.5));
  CHECK(meter.joules().value() == doctest::Approx(3.5));  // nothing counts twice
}

TEST_CASE("a counter that begins again from zero goes on") {
  const TemporaryFolder folder;
  write_domain(folder, "intel-rapl:0", "package-0", "9000000", "10000000");
  EnergyMeter meter(folder.path());
  write_domain(folder, "intel-rapl:0", "package-0", "500000", "10000000");
  CHECK(meter.joules().value() == doctest::Approx(1.5));
  write_domain(folder, "intel-rapl:0", "package-0", "600000", "10000000");
  CHECK(meter.joules().value() == doctest::Approx(1.6));
}

TEST_CASE("what cannot be read is told by name and reason, and is no number") {
  const TemporaryFolder folder;
  EnergyMeter nowhere(folder / "powercap");
  CHECK_FALSE(nowhere.joules());
  CHECK(has(nowhere.problem(), "no counter of a processor package (RAPL) in " + (folder / "powercap").string()));

  write_domain(folder, "intel-rapl:1", "psys", "5");
  CHECK(has(EnergyMeter(folder.path()).problem(), "no counter of a processor package"));

  write_domain(folder, "intel-rapl:0", "package-0", "");
  EnergyMeter absent(folder.path());
  CHECK_FALSE(absent.joules());
  CHECK(has(absent.problem(), "intel-rapl:0/energy_uj is not there"));

  std::filesystem::create_directory(folder / "intel-rapl:0/energy_uj");  // not readable, whoever asks
  EnergyMeter unreadable(folder.path());
  CHECK_FALSE(unreadable.joules());
  CHECK(has(unreadable.problem(), "intel-rapl:0/energy_uj cannot be read; since 2020 it is root's alone"));
}

TEST_CASE("energy of a part of the time is not given for all of it") {
  const TemporaryFolder folder;
  write_domain(folder, "intel-rapl:0", "package-0", "1000000", "");
  EnergyMeter meter(folder.path());
  CHECK(meter.joules() == 0.0);
  write_domain(folder, "intel-rapl:0", "package-0", "10", "");
  CHECK_FALSE(meter.joules());
  CHECK(has(meter.problem(), "has begun again from zero, and max_energy_range_uj does not say where"));

  write_domain(folder, "intel-rapl:0", "package-0", "1000000");
  EnergyMeter lost(folder.path());
  std::filesystem::remove(folder / "intel-rapl:0/energy_uj");
  CHECK_FALSE(lost.joules());
  write_domain(folder, "intel-rapl:0", "package-0", "2000000");
  CHECK_FALSE(lost.joules());
}

TEST_CASE("grams of carbon dioxide follow from joules and the stated intensity") {
  CHECK(carbon_grams(3.6e6, 400) == 400);
  CHECK(carbon_grams(1.8e6, 400) == 200);
  CHECK(carbon_grams(0, 400) == 0);
}
