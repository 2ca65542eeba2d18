#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "greentrainer/core/error.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

namespace greentrainer::fuzz {

/// Writes a file of a folder anew for every input.
class InputFolder {
 public:
  std::filesystem::path write(std::string_view name, std::string_view bytes) const {
    const std::filesystem::path file = folder_ / name;
    std::ofstream(file, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return file;
  }
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  testing::TemporaryFolder folder_;
};

/// An input of two parts: what stands in front of its first NUL, and what stands behind it.
inline std::pair<std::string_view, std::string_view> two_parts(std::string_view input) {
  const std::size_t end = std::min(input.find('\0'), input.size());
  return {input.substr(0, end), input.substr(std::min(input.size(), end + 1))};
}

/// Hands an input to a reader. False where it is refused, as it must be refused: by an error of the library's.
template <class Target>
bool accepts(const Target& target, std::string_view input) {
  try {
    target(input);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace greentrainer::fuzz
