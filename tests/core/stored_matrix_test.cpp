#include "greentrainer/core/stored_matrix.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"

using namespace greentrainer;

TEST_CASE("any part of a row decodes to the numbers that it has in the whole") {
  constexpr Extent rows = 3, cols = 512;
  CounterRandom random(7, "stored matrix");
  for (const StorageFormat& format : storage_formats) {
    CAPTURE(format.name);
    StoredMatrix matrix{&format, nullptr, rows, cols};
    std::vector<std::byte> bytes(static_cast<std::size_t>(matrix.bytes()));
    if (format.dtype || format.encode_block != nullptr) {
      std::vector<float> values(static_cast<std::size_t>(matrix.size()));
      for (float& value : values) value = static_cast<float>(random.normal());
      encode_blocks(format, values, bytes);
    } else {
      // Scales below 2^14: no infinities. Where a block has two of them, each stands in two bytes.
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(64));
    }
    matrix.data = bytes.data();
    std::vector<double> whole(static_cast<std::size_t>(matrix.size()));
    decode_blocks<double>(format, bytes, whole);
    for (const auto& [row, first, count] :
         {std::array<Extent, 3>{0, 0, cols}, {1, 0, 1}, {1, 31, 2}, {2, 255, 257}, {2, 97, 300}, {0, 511, 1}}) {
      std::vector<double> part(static_cast<std::size_t>(count));
      decode_row_part(matrix, row, first, count, part.data());
      CHECK(std::equal(part.begin(), part.end(), whole.begin() + (row * cols + first)));
      const StoredMatrix below = matrix.rows_from(row, rows - row);
      decode_row_part(below, 0, first, count, part.data());
      CHECK(std::equal(part.begin(), part.end(), whole.begin() + (row * cols + first)));
    }
  }
}
