#pragma once

#include <map>
#include <string>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Keys of rows and messages that were not read, and in how many of them each stood: "source", "messages.name".
using IgnoredKeys = std::map<std::string, Extent>;

}  // namespace greentrainer
