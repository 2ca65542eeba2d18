// greentrainer doctor: what this machine and this build of the program can do.

#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/machine_energy.hpp"
#include "kept_times.hpp"
#include "machine.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer doctor\n"
    "  greentrainer doctor --json\n"
    "Takes about a second: it measures how fast the processor is.";

/// Of the processor, as far as kernels can use them.
std::vector<std::string> instruction_sets() {
  std::vector<std::string> sets;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") != 0) sets.push_back("AVX2");
  if (__builtin_cpu_supports("fma") != 0) sets.push_back("FMA");
  if (__builtin_cpu_supports("avx512f") != 0) sets.push_back("AVX-512");
  if (__builtin_cpu_supports("avx512bf16") != 0) sets.push_back("AVX512_BF16");
  if (eigen::amx_available()) sets.push_back("AMX");
#endif
  return sets;
}

/// Free bytes where a folder lies; nothing where it cannot be told.
std::optional<Bytes> free_bytes(const std::filesystem::path& folder) {
  std::error_code error;
  const auto space = std::filesystem::space(folder, error);
  if (error) return std::nullopt;
  return static_cast<Bytes>(space.available);
}

struct Gpu {
  std::string name;                           ///< or why there is none
  std::optional<std::string> energy_problem;  ///< of a GPU; empty: its energy can be measured
};

Gpu look_at_gpu() {
  Gpu gpu;
  try {
    with_cuda({.name = "cuda"}, [&](auto& backend) {
      gpu.name = backend.name();
      gpu.energy_problem = GpuEnergyMeter(gpu_address(backend)).problem();
      return 0;
    });
  } catch (const Error& error) {
    gpu.name = text("none: ", error.detail());
  }
  return gpu;
}

/// "energy" and "energy_reason", with a prefix.
void add_energy(OrderedJson& json, const std::string& prefix, const std::string& problem) {
  json[prefix + "energy"] = problem.empty() ? "measured" : "not measured";
  json[prefix + "energy_reason"] = problem.empty() ? OrderedJson() : OrderedJson(problem);
}

OrderedJson look() {
  EigenBackend<float> backend;
  const Gpu gpu = look_at_gpu();
  const KeptTimes kept(backend.name());
  OrderedJson json = {
    {"build", detail::build_text()},
#if GREENTRAINER_NATIVE_BUILD
    {"native", true},
#else
    {"native", false},
#endif
    {"processor", machine_name()},
    {"instruction_sets", instruction_sets()},
    {"backend", backend.name()},
    {"peak_flops", measured_peak(backend.threads())},
    {"gpu", gpu.name},
    {"memory_bytes", machine_memory()},
    {"available_memory_bytes", available_memory()}
  };
  add_energy(json, "", EnergyMeter().problem());
  if (gpu.energy_problem) add_energy(json, "gpu_", *gpu.energy_problem);
  json["times_file"] = kept.file().string();
  json["times_of_operators"] = kept.load().parts.size();
  json["free_disk_bytes"] = nullptr;
  if (const auto bytes = free_bytes(".")) json["free_disk_bytes"] = *bytes;
  return json;
}

void print(const OrderedJson& json) {
  std::string sets;
  for (const auto& set : json["instruction_sets"]) sets += (sets.empty() ? "" : ", ") + set.get<std::string>();
  const auto bytes = [&](const char* key) {
    return json[key].is_null() ? std::string("not known") : bytes_text(json[key].get<Bytes>());
  };
  const auto line = [](std::string name, const std::string& value) {
    name.resize(20, ' ');
    std::cout << name << value << '\n';
  };
  line("build", json["build"].get<std::string>());
  line("for this machine", json["native"].get<bool>() ? "yes" : "no: configure with -DGREENTRAINER_NATIVE=ON");
  line("processor", json["processor"].get<std::string>());
  line("instruction sets", sets.empty() ? "none that kernels use" : sets);
  line("backend", json["backend"].get<std::string>());
  line("measured peak", with_prefix(json["peak_flops"].get<double>(), "FLOPs") + " a second, float32");
  line("GPU", json["gpu"].get<std::string>());
  line("memory", bytes("memory_bytes") + ", " + bytes("available_memory_bytes") + " available");
  line("free disk here", bytes("free_disk_bytes"));
  line("energy", json["energy_reason"].is_null() ? std::string("can be read, of processor packages (RAPL)")
                                                 : json["energy_reason"].get<std::string>());
  if (json.contains("gpu_energy"))
    line("energy of the GPU", json["gpu_energy_reason"].is_null() ? std::string("can be read (NVML)")
                                                                  : json["gpu_energy_reason"].get<std::string>());
  line("times of operators", text(json["times_of_operators"].get<std::size_t>(), " parts kept",
                                  json["times_file"] == "" ? "" : " in " + json["times_file"].get<std::string>()));
}

}  // namespace

Command make_doctor_command() {
  const auto as_json = std::make_shared<bool>(false);
  Command command("doctor", "What this machine and this build can do", examples);
  command.on("json", *as_json, "Print one JSON object on stdout");
  command.run = [as_json](const Command&) {
    const OrderedJson json = look();
    if (*as_json)
      print_json(json);
    else
      print(json);
    return 0;
  };
  return command;
}

}  // namespace greentrainer::program
