// The energy of a run on a GPU: of the device that computes, and of the processors.

#include <doctest/doctest.h>

#include "cuda_emulation/emulation.hpp"
#include "greentrainer/backends/cuda.hpp"
#include "greentrainer/io/machine_energy.hpp"
#include "support/made_up_nvml.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("the GPU whose energy is counted is the one that the backend computes on") {
  const cuda_emulation::Session session({.devices = 3});
  const TemporaryFolder powercap;
  powercap.write("intel-rapl:0/name", "package-0\n");
  powercap.write("intel-rapl:0/energy_uj", "1000000\n");
  const MadeUpNvml nvml;
  for (const int device : {0, 2}) {
    const CudaBackend<float> backend(device);
    MachineEnergy energy(backend.pci_bus_address(), {.powercap = powercap.path(), .nvml = nvml.path});
    CHECK(std::string(nvml->address) == backend.pci_bus_address());
    CHECK(energy.parts().back().name == text("GPU 0000:0", device, ":00.0"));
    nvml->millijoules += 2500;
    CHECK(energy.joules() == 2.5);
  }
  CHECK(cuda_emulation::take_faults().empty());
}
