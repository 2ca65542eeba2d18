#pragma once

#include <string>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer::program {

/// Which backend runs, and what it is told.
struct BackendChoice {
  std::string name = "eigen";
  Extent threads = 0;             ///< of eigen; 0: all cores
  Extent device = 0;              ///< of cuda
  std::string products = "full";  ///< of cuda: precision of matrix products
};

}  // namespace greentrainer::program
