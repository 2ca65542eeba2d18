#pragma once

#include <nlohmann/json_fwd.hpp>

namespace greentrainer {

/// What headers name that do not look into JSON; io/json.hpp has the whole.
using Json = nlohmann::json;

/// Keeps the order of its keys, for files that are read, changed and written back. Searches keys one by one: for small
/// objects.
using OrderedJson = nlohmann::ordered_json;

}  // namespace greentrainer
