#include "support/paths.hpp"

namespace greentrainer::testing {

std::filesystem::path source_folder() { return GREENTRAINER_SOURCE_DIR; }
std::filesystem::path shared_folder() { return GREENTRAINER_SHARED; }
std::filesystem::path program_path() { return GREENTRAINER_PROGRAM; }

}  // namespace greentrainer::testing
