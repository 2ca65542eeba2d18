#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/file.hpp"

namespace greentrainer::fuzz {

/// Hands every input of tests/fuzz/corpus/NAME to a target, as it is and cut short: each must be accepted, or refused
/// by an error of the library's, soon. Some must be accepted and some refused, or the target would test nothing.
template <class Target>
void replay(const std::string& name, const Target& target) {
  CAPTURE(name);
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(testing::source_folder() / "tests/fuzz/corpus" / name))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  int accepted = 0, refused = 0;
  for (const std::filesystem::path& file : files) {
    CAPTURE(file.filename().string());
    const std::string input = read_file(file);
    const auto start = std::chrono::steady_clock::now();
    ++(accepts(target, input) ? accepted : refused);
    for (const std::size_t parts : {2, 3, 7}) accepts(target, std::string_view(input).substr(0, input.size() / parts));
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
  }
  CHECK(accepted > 0);
  CHECK(refused > 0);
}

}  // namespace greentrainer::fuzz
