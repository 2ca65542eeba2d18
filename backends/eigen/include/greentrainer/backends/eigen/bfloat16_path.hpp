#pragma once

#include "greentrainer/backends/eigen/amx_products.hpp"

namespace greentrainer::eigen {

/// What multiplies factors in bfloat16. Results of different paths differ in the order of their sums.
enum class BFloat16Path {
  vectors,  ///< AVX512_BF16 where the library is compiled for it, else float arithmetic on widened factors
  amx,      ///< the tile registers of AMX
};

/// The fastest that this machine has.
inline BFloat16Path best_bfloat16_path() { return amx_available() ? BFloat16Path::amx : BFloat16Path::vectors; }

inline const char* name_of(BFloat16Path path) { return path == BFloat16Path::amx ? "AMX" : bfloat16_vectors; }

}  // namespace greentrainer::eigen
