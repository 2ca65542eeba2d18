#pragma once

#include <filesystem>

namespace greentrainer::testing {

// Functions rather than definitions on the compiler's command line: objects do not depend on where the clone lies, so
// a compiler cache serves all clones.

/// The repository.
std::filesystem::path source_folder();

/// Folder with large data and models; empty where there is none (the CMake variable GREENTRAINER_SHARED).
std::filesystem::path shared_folder();

/// The program greentrainer of this build.
std::filesystem::path program_path();

}  // namespace greentrainer::testing
