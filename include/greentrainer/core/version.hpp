#pragma once

#include <string_view>

namespace greentrainer {

/// Version of the library, by the rules of Semantic Versioning. CMake refuses to configure when its project version
/// differs.
inline constexpr int version_major = 0;
inline constexpr int version_minor = 2;
inline constexpr int version_patch = 0;
inline constexpr std::string_view version = "0.2.0";

}  // namespace greentrainer
