#pragma once

#include <dlfcn.h>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "greentrainer/core/text.hpp"

namespace greentrainer {

namespace detail {

/// What of NVIDIA's management library (NVML) tells a GPU's energy. The library comes with the driver and is opened at
/// run time; its functions are declared here as its documentation states them, so that no build needs its headers.
class Nvml {
 public:
  using Device = struct nvmlDevice_st*;
  static constexpr int success = 0, not_supported = 3, not_found = 6;  // of the enumeration nvmlReturn_t

  /// What went wrong is in `problem`.
  explicit Nvml(const std::string& library) : library_(::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) {
      const char* const why = ::dlerror();
      problem_ = text(library, " cannot be opened", why == nullptr ? "" : text(" (", why, ')'),
                      "; it is a part of NVIDIA's driver");
      return;
    }
    find(library, "nvmlInit_v2", init_);
    find(library, "nvmlShutdown", shutdown_);
    find(library, "nvmlErrorString", error_string_);
    find(library, "nvmlDeviceGetHandleByPciBusId_v2", device_at_);
    find(library, "nvmlDeviceGetTotalEnergyConsumption", energy_of_);
    if (!problem_.empty()) return;
    const int status = init_();
    is_initialised_ = status == success;
    if (!is_initialised_) problem_ = text("nvmlInit_v2 fails: ", name_of(status));
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  ~Nvml() {
    if (is_initialised_) shutdown_();
    if (library_ != nullptr) ::dlclose(library_);
  }

  const std::string& problem() const { return problem_; }
  /// These require that there is no problem, and return a status.
  int device_at(const std::string& pci_bus_address, Device& device) const {
    return device_at_(pci_bus_address.c_str(), &device);
  }
  int energy_of(Device device, unsigned long long& millijoules) const { return energy_of_(device, &millijoules); }
  std::string name_of(int status) const {
    const char* const name = error_string_(status);
    return text(name == nullptr ? "an unknown error" : name, " (", status, ')');
  }

 private:
  template <class F>
  void find(const std::string& library, const char* name, F*& function) {
    function = reinterpret_cast<F*>(::dlsym(library_, name));
    if (function == nullptr && problem_.empty())
      problem_ = text(library, " has no function ", name, "; the driver may be too old");
  }

  void* library_;
  int (*init_)() = nullptr;
  int (*shutdown_)() = nullptr;
  const char* (*error_string_)(int) = nullptr;
  int (*device_at_)(const char*, Device*) = nullptr;
  int (*energy_of_)(Device, unsigned long long*) = nullptr;
  bool is_initialised_ = false;
  std::string problem_;
};

}  // namespace detail

/// Energy that a GPU of NVIDIA's has taken since construction, by the counter that its driver offers (NVML, since
/// Volta): of all that ran on it, not of this process alone, with its memory, and of the whole GPU where it is divided.
class GpuEnergyMeter {
 public:
  /// `pci_bus_address`: as CUDA tells it, such as 0000:3B:00.0. `library`: NVML, as dlopen takes it.
  explicit GpuEnergyMeter(std::string pci_bus_address, const std::string& library = "libnvidia-ml.so.1")
      : address_(std::move(pci_bus_address)), nvml_(std::make_unique<detail::Nvml>(library)) {
    problem_ = nvml_->problem();
    if (!problem_.empty()) return;
    const int status = nvml_->device_at(address_, device_);
    if (status == detail::Nvml::success)
      last_ = read().value_or(0);
    else
      problem_ = text(name(), status == detail::Nvml::not_found ? " is not known to NVML: " : " cannot be asked: ",
                      nvml_->name_of(status));
  }

  /// Since construction; nothing where it cannot be measured, from the first reading on that fails.
  std::optional<double> joules() {
    if (!problem_.empty()) return std::nullopt;
    const auto now = read();
    if (!now) return std::nullopt;
    if (*now < last_) {
      problem_ = text("the energy counter of ", name(), " has gone back from ", last_, " mJ to ", *now,
                      " mJ; was the driver loaded anew?");
      return std::nullopt;
    }
    millijoules_ += static_cast<double>(*now - last_);
    last_ = *now;
    return millijoules_ / 1e3;
  }

  /// "GPU 0000:3B:00.0"
  std::string name() const { return "GPU " + address_; }
  /// Why it cannot be measured; empty where it can.
  const std::string& problem() const { return problem_; }

 private:
  /// Millijoules since the driver was loaded.
  std::optional<unsigned long long> read() {
    unsigned long long millijoules = 0;
    const int status = nvml_->energy_of(device_, millijoules);
    if (status == detail::Nvml::success) return millijoules;
    problem_ = text("the energy of ", name(),
                    status == detail::Nvml::not_supported ? " is not counted, as before Volta: " : " cannot be read: ",
                    nvml_->name_of(status));
    return std::nullopt;
  }

  std::string address_;
  std::unique_ptr<detail::Nvml> nvml_;
  detail::Nvml::Device device_ = nullptr;
  unsigned long long last_ = 0;
  double millijoules_ = 0;
  std::string problem_;
};

}  // namespace greentrainer
