#include "console.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <sys/ioctl.h>
#include <unistd.h>

#include "greentrainer/io/json.hpp"
#include "terminal.hpp"

namespace greentrainer::program {

std::string fixed(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

std::string with_prefix(double value, const std::string& unit) {
  constexpr std::array prefixes = {"", "k", "M", "G", "T", "P", "E"};
  std::size_t i = 0;
  for (; std::abs(value) >= 1000 && i + 1 < prefixes.size(); ++i) value /= 1000;
  if (unit.empty() && i == 0) return fixed(value, 0);
  return fixed(value, i == 0 ? 0 : 3) + " " + prefixes[i] + (unit.find('-') != std::string::npos && i > 0 ? " " : "") +
         unit;
}

std::string cost_text(std::int64_t value, const std::string& unit) {
  if (unit == "ps") return fixed(static_cast<double>(value) / 1e12, 2) + " s";
  return with_prefix(static_cast<double>(value), unit);
}

std::string bytes_text(Bytes bytes) {
  constexpr std::array prefixes = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t i = 0;
  for (; value >= 1024 && i + 1 < prefixes.size(); ++i) value /= 1024;
  return fixed(value, i == 0 ? 0 : 1) + " " + prefixes[i];
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<long>(std::lround(std::max(0.0, seconds)));
  std::ostringstream out;
  out << std::setfill('0');
  if (whole >= 3600) out << whole / 3600 << ':' << std::setw(2);
  out << whole / 60 % 60 << ':' << std::setw(2) << whole % 60;
  return out.str();
}

std::string shell_word(const std::string& word) {
  if (!word.empty() && word.find_first_of(" *?[]{}'\"$&|;<>()\\") == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += (i == 0 ? "" : "  ") + (i == 0 ? row[i] + space : space + row[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    std::cout << line << '\n';
  }
}

std::string memory_line(const MemoryEstimate& memory) {
  std::string line = "weights " + bytes_text(memory.weights) + ", gradients " + bytes_text(memory.gradients) +
                     ", optimizer " + bytes_text(memory.optimizer) + ", activations " + bytes_text(memory.activations) +
                     ", workspace " + bytes_text(memory.workspace);
  if (memory.copies > 0) line += ", saved weights " + bytes_text(memory.copies);
  if (memory.cached > 0) line += ", cached values " + bytes_text(memory.cached);
  line += ", batches and kernels " + bytes_text(memory.batch + memory.scratch);
  return line + ": " + bytes_text(memory.total());
}

void print_json(const OrderedJson& json) {
  std::cout << json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) << '\n';
}

void say(const std::string& line) {
  if (terminal_columns() > 0)
    std::fprintf(stderr, "\r\x1b[K%s\n", without_controls(line).c_str());
  else
    std::fprintf(stderr, "%s\n", line.c_str());
}

void say_if_not_native() {
#if !GREENTRAINER_NATIVE_BUILD
  say("note: this program was built without the machine's own instructions and runs slower; configure with "
      "-DGREENTRAINER_NATIVE=ON");
#endif
}

int terminal_columns() {
  if (isatty(STDERR_FILENO) == 0) return 0;
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace greentrainer::program
