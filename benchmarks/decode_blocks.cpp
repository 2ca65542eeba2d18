// decode_blocks FORMAT < BLOCKS > FLOATS: blocks of a storage format as the float32 numbers that they decode to, for
// scripts/check_gguf.py to compare with the Python package gguf.
#include <cstddef>
#include <iostream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/core/storage_format.hpp"

int main(int argc, char** argv) {
  using namespace greentrainer;
  const StorageFormat* const format = argc == 2 ? find_storage_format(std::string_view(argv[1])) : nullptr;
  if (format == nullptr) {
    std::cerr << "usage: decode_blocks FORMAT < BLOCKS > FLOATS\n";
    return 2;
  }
  try {
    std::ios::sync_with_stdio(false);
    const std::string bytes{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
    std::vector<float> values(bytes.size() / format->bytes * format->block);
    decode_blocks<float>(*format, std::as_bytes(std::span(bytes)), values);
    std::cout.write(reinterpret_cast<const char*>(values.data()),
                    static_cast<std::streamsize>(values.size() * sizeof(float)));
  } catch (const Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
