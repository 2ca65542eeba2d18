#pragma once

#include <string>

#include "greentrainer/core/product_precision.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer::program {

/// Which backend runs, and what it is told.
struct BackendChoice {
  std::string name = "eigen";
  Extent threads = 0;                 ///< of eigen; 0: all cores
  Extent device = 0;                  ///< of cuda
  std::string precision = "float32";  ///< of the factors of matrix products
};

/// The precision of a name that declare_backend accepts.
inline ProductPrecision precision_of(const BackendChoice& choice) {
  if (choice.precision == "tf32") return ProductPrecision::tf32;
  return choice.precision == "bfloat16" ? ProductPrecision::bf16 : ProductPrecision::full;
}

/// Why the energy of what computes with this backend cannot be measured here; empty where it can. Throws MissingDevice
/// if its device is not there.
std::string energy_problem(const BackendChoice& choice);

}  // namespace greentrainer::program
