// A library that exports what GpuEnergyMeter asks of NVML, and answers as a test has written. With MADE_UP_NVML_IS_OLD
// it lacks the function that came last.

#include <cstring>

#include "support/nvml_script.hpp"

using greentrainer::testing::NvmlScript;

namespace {

NvmlScript script;
constexpr int uninitialised = 1;  // NVML_ERROR_UNINITIALIZED

}  // namespace

extern "C" {

struct nvmlDevice_st {};

NvmlScript* made_up_nvml_script() { return &script; }

int nvmlInit_v2() {
  if (script.init == 0) ++script.initialised;
  return script.init;
}
int nvmlShutdown() {
  --script.initialised;
  return 0;
}
const char* nvmlErrorString(int status) {
  if (!script.names_errors) return nullptr;
  return status == 3 ? "Not Supported" : status == 6 ? "Not Found" : status == 15 ? "GPU is lost" : "Another Error";
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* address, nvmlDevice_st** device) {
  static nvmlDevice_st only;
  if (script.initialised == 0) return uninitialised;
  std::strncpy(script.address, address, sizeof script.address - 1);
  *device = &only;
  return script.device;
}
#ifndef MADE_UP_NVML_IS_OLD
int nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_st* device, unsigned long long* millijoules) {
  if (script.initialised == 0 || device == nullptr) return uninitialised;
  if (script.energy == 0) *millijoules = script.millijoules;
  return script.energy;
}
#endif

}  // extern "C"
