#include "option_values.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "command.hpp"

namespace greentrainer::program {

namespace {

/// The number that a text begins with, and what follows it.
std::pair<std::int64_t, std::string> number_and_unit(const std::string& value, std::int64_t otherwise) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  return {error == std::errc{} ? number : otherwise, std::string(end, value.data() + value.size())};
}

}  // namespace

Interval parse_interval(const std::string& value) {
  const auto [every, unit] = number_and_unit(value, 0);
  if (every < 1 || every > most_steps || (unit != "e" && unit != "s")) {
    bad_usage("finetune",
              text("--reselect-every: expected a number of epochs or steps such as 2e or 100s, got ", value));
  }
  return {.every = every, .unit = unit == "e" ? Interval::Unit::epochs : Interval::Unit::steps};
}

Bytes parse_bytes(const std::string& flag, const std::string& value, const std::string& command) {
  constexpr std::array<const char*, 5> units = {"", "KiB", "MiB", "GiB", "TiB"};
  const auto [number, unit] = number_and_unit(value, -1);
  Bytes factor = 1;
  for (const char* known : units) {
    if (number >= 0 && unit == known && number <= std::numeric_limits<Bytes>::max() / factor) return number * factor;
    factor *= 1024;
  }
  bad_usage(command, text(flag, ": expected a number of bytes such as 4GiB, 512MiB or 1000000, got ", value));
}

}  // namespace greentrainer::program
