#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "greentrainer/core/text.hpp"

namespace greentrainer {

/// Joules so far, of whatever the function's maker counts, never fewer than before; nothing where they cannot be told.
using EnergyReading = std::function<std::optional<double>()>;

/// Energy that the machine's processor packages have taken since construction, by the counters that Linux offers under
/// powercap (RAPL): of all that ran on them, not of this process alone. Package domains are added up; what lies within
/// a package (cores, memory controllers) and what contains packages (psys) are not, so nothing counts twice.
class EnergyMeter {
 public:
  /// `powercap`: the folder that has intel-rapl:0 and its like.
  explicit EnergyMeter(const std::filesystem::path& powercap = "/sys/class/powercap") {
    std::error_code error;
    std::vector<std::filesystem::path> domains;
    for (std::filesystem::directory_iterator entry(powercap, error), end; !error && entry != end;
         entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      constexpr std::string_view prefix = "intel-rapl:";  // so named for AMD's processors, too
      if (!name.starts_with(prefix) || name.find(':', prefix.size()) != std::string::npos) continue;
      std::ifstream in(entry->path() / "name");
      std::string domain;
      if (in >> domain && domain.starts_with("package")) domains.push_back(entry->path());
    }
    std::sort(domains.begin(), domains.end());
    if (domains.empty())
      problem_ = text("no counter of a processor package (RAPL) in ", powercap.string(),
                      ": not Linux, a virtual machine, or a processor without one");
    for (const auto& domain : domains) {
      const auto now = read_number(domain / "energy_uj");
      if (!now) {
        fail(domain / "energy_uj");
        return;
      }
      counters_.push_back({domain / "energy_uj", *now, read_number(domain / "max_energy_range_uj").value_or(0)});
    }
  }

  /// To be called now and then: the counters begin again from zero every few minutes to hours, and what happened to one
  /// more than once between two calls is lost.
  void sample() {
    if (!problem_.empty()) return;
    for (Counter& counter : counters_) {
      const auto now = read_number(counter.file);
      if (!now) return fail(counter.file);
      if (*now < counter.last && counter.range < counter.last) {
        problem_ =
            text(counter.file.string(), " has begun again from zero, and max_energy_range_uj does not say where");
        return;
      }
      microjoules_ +=
          static_cast<double>(*now >= counter.last ? *now - counter.last : counter.range - counter.last + *now);
      counter.last = *now;
    }
  }

  /// Since construction; nothing where it cannot be measured. Samples.
  std::optional<double> joules() {
    sample();
    if (!problem_.empty()) return std::nullopt;
    return microjoules_ / 1e6;
  }

  /// Why it cannot be measured; empty where it can.
  const std::string& problem() const { return problem_; }
  /// Processor packages that are counted.
  std::size_t packages() const { return counters_.size(); }

 private:
  struct Counter {
    std::filesystem::path file;
    std::uint64_t last = 0;
    std::uint64_t range = 0;  ///< the largest value; 0: not known
  };

  static std::optional<std::uint64_t> read_number(const std::filesystem::path& file) {
    std::ifstream in(file);
    std::uint64_t value = 0;
    if (!(in >> value)) return std::nullopt;
    return value;
  }
  void fail(const std::filesystem::path& file) {
    std::error_code error;
    problem_ = std::filesystem::exists(file, error)
                   ? text(file.string(), " cannot be read; since 2020 it is root's alone: as root, or after chmod a+r")
                   : text(file.string(), " is not there");
  }

  std::vector<Counter> counters_;
  double microjoules_ = 0;
  std::string problem_;
};

/// Grams of CO2 equivalent for joules of electricity, at grams for each kilowatt-hour.
constexpr double carbon_grams(double joules, double grams_per_kwh) { return joules / 3.6e6 * grams_per_kwh; }

}  // namespace greentrainer
