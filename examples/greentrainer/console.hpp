#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "greentrainer/core/types.hpp"
#include "greentrainer/cost/memory_estimate.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer::program {

/// 1234567890, "FLOPs" -> "1.235 GFLOPs"; with "multiply-adds", "1.235 G multiply-adds".
std::string with_prefix(double value, const std::string& unit);
/// In a cost model's unit: picoseconds as seconds.
std::string cost_text(std::int64_t value, const std::string& unit);
/// 1536 -> "1.5 KiB".
std::string bytes_text(Bytes bytes);
std::string fixed(double value, int digits);
/// 3723 seconds -> "1:02:03".
std::string duration_text(double seconds);

/// As a shell reads it: in quotes where it must be.
std::string shell_word(const std::string& word);

/// Prints cells in aligned columns on stdout: the first column to the left, all others to the right.
void print_table(const std::vector<std::vector<std::string>>& rows);

/// One line on stderr: memory by purpose, "memory: weights 1.0 MiB, ..., together 3.2 MiB".
std::string memory_line(const MemoryEstimate& memory);

/// Prints one JSON object on stdout and nothing else.
void print_json(const OrderedJson& json);

/// One line on stderr, after the progress bar has made room.
void say(const std::string& line);

/// A program built for any machine is several times slower on this one: says so.
void say_if_not_native();

/// Columns of the terminal on stderr, or 0 where it is none.
int terminal_columns();

}  // namespace greentrainer::program
