// Products and lookups that read a weight in a storage format: the same as for the numbers that the format stands for.
#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "backends/backend_list.hpp"
#include "greentrainer/core/random.hpp"
#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer::testing {
namespace {

/// A weight of random numbers in a format, and the numbers that it then has, both on a backend.
template <Backend B>
struct StoredAndDecoded {
  using T = typename B::Scalar;

  StoredAndDecoded(B& backend, const StorageFormat& format, Extent rows, Extent cols)
      : stored{&format, nullptr, rows, cols}, bytes(backend, rows, stored.row_bytes()), elements(backend, rows, cols) {
    CounterRandom random(3, format.name);
    std::vector<float> values(static_cast<std::size_t>(rows * cols));
    for (float& value : values) value = static_cast<float>(random.normal());
    std::vector<std::byte> encoded(static_cast<std::size_t>(bytes.bytes()));
    encode_blocks(format, values, encoded);
    std::vector<T> decoded(values.size());
    decode_blocks<T>(format, encoded, decoded);
    bytes.upload(encoded);
    elements.upload(decoded);
    stored.data = bytes.data();
  }

  StoredMatrix stored;
  Tensor<B, std::byte> bytes;
  Tensor<B> elements;
};

template <Backend B>
Tensor<B> random_tensor(B& backend, Extent rows, Extent cols, std::string_view name) {
  CounterRandom random(5, name);
  std::vector<typename B::Scalar> values(static_cast<std::size_t>(rows * cols));
  for (auto& value : values) value = static_cast<typename B::Scalar>(random.normal());
  Tensor<B> tensor(backend, rows, cols);
  tensor.upload(values);
  return tensor;
}

constexpr std::array formats = {"BF16", "F16", "F32", "Q8_0", "Q4_0", "NF4"};

TEST_CASE_TEMPLATE("A product with a stored weight is that with its numbers, to the bit", B, EigenBackend<float>,
                   EigenBackend<double>, OpaqueBackend<EigenBackend<float>>, CountingBackend<EigenBackend<double>>,
                   ReferenceBackend<double>) {
  B backend;
  for (const char* name : formats) {
    CAPTURE(name);
    // Few rows are multiplied another way than many; the depth is met in blocks that do not end where the format's do.
    for (const auto& [rows, out, in] : {std::array<Extent, 3>{3, 70, 832}, {50, 33, 448}, {1, 16, 64}, {90, 130, 64}}) {
      const StoredAndDecoded<B> weight(backend, *find_storage_format(name), out, in);
      const Tensor<B> x = random_tensor(backend, rows, in, "x"), dy = random_tensor(backend, rows, out, "dy");
      for (const Write write : {Write::overwrite, Write::accumulate}) {
        Tensor<B> y = random_tensor(backend, rows, out, "y"), expected_y = random_tensor(backend, rows, out, "y");
        backend.matmul(x.matrix(), Transpose::no, weight.stored, Transpose::yes, y.matrix(), write);
        backend.matmul(x.matrix(), Transpose::no, weight.elements.matrix(), Transpose::yes, expected_y.matrix(), write);
        CHECK(y.download() == expected_y.download());
        Tensor<B> dx = random_tensor(backend, rows, in, "dx"), expected_dx = random_tensor(backend, rows, in, "dx");
        backend.matmul(dy.matrix(), Transpose::no, weight.stored, Transpose::no, dx.matrix(), write);
        backend.matmul(dy.matrix(), Transpose::no, weight.elements.matrix(), Transpose::no, expected_dx.matrix(),
                       write);
        CHECK(dx.download() == expected_dx.download());
      }
    }
  }
}

TEST_CASE_TEMPLATE("A lookup in a stored table gives its numbers, and decoding all of them", B, EigenBackend<float>,
                   EigenBackend<double>, OpaqueBackend<EigenBackend<float>>, CountingBackend<EigenBackend<double>>,
                   ReferenceBackend<double>) {
  B backend;
  for (const char* name : formats) {
    CAPTURE(name);
    const StoredAndDecoded<B> table(backend, *find_storage_format(name), 9, 128);
    const std::vector<Index> rows = {8, 0, 3, 3, 7};
    Tensor<B, Index> index(backend, 1, 5);
    index.upload(rows);
    Tensor<B> y(backend, 5, 128), expected(backend, 5, 128), all(backend, 9, 128);
    backend.embedding_forward(table.stored, index.data(), y.matrix());
    backend.embedding_forward(table.elements.matrix(), index.data(), expected.matrix());
    CHECK(y.download() == expected.download());
    backend.decode(table.stored, all.matrix());
    CHECK(all.download() == table.elements.download());
  }
}

TEST_CASE("A product with a stored weight refuses shapes that do not fit, and counts as any product") {
  CountingBackend<EigenBackend<float>> backend(1);
  const StoredAndDecoded<CountingBackend<EigenBackend<float>>> weight(backend, *find_storage_format("Q8_0"), 8, 32);
  const auto x = random_tensor(backend, 2, 33, "x");
  auto y = random_tensor(backend, 2, 8, "y");
  CHECK_THROWS_AS(
      backend.matmul(x.matrix(), Transpose::no, weight.stored, Transpose::yes, y.matrix(), Write::overwrite),
      ShapeError);
  const auto fitting = random_tensor(backend, 2, 32, "x");
  backend.reset();
  backend.matmul(fitting.matrix(), Transpose::no, weight.stored, Transpose::yes, y.matrix(), Write::overwrite);
  CHECK(backend.flops() == 2 * 2 * 8 * 32);
}

TEST_CASE("Threads keep as much for decoded weights as the plan of memory counts, in either precision") {
  const int threads = eigen::ThreadPool::usual_threads();
  Bytes most = 0;
  for (const ProductPrecision precision : {ProductPrecision::full, ProductPrecision::bf16}) {
    EigenBackend<float> dense(threads, precision), decoding(threads, precision);
    const Extent rows = 64, out = 256, in = 768;  // all of a chunk, as deep as it gets
    const auto multiply = [&](EigenBackend<float>& backend, bool stored) {
      const StoredAndDecoded<EigenBackend<float>> weight(backend, *find_storage_format("BF16"), out, in);
      const auto x = random_tensor(backend, rows, in, "x");
      Tensor<EigenBackend<float>> y(backend, rows, out);
      if (stored)
        backend.matmul(x.matrix(), Transpose::no, weight.stored, Transpose::yes, y.matrix(), Write::overwrite);
      else
        backend.matmul(x.matrix(), Transpose::no, weight.elements.matrix(), Transpose::yes, y.matrix(),
                       Write::overwrite);
      return backend.scratch_bytes();
    };
    most = std::max(most, multiply(decoding, true) - multiply(dense, false));
  }
  CHECK(most > 0);
  CHECK(most == EigenBackend<float>::most_decoding_bytes());
}

}  // namespace
}  // namespace greentrainer::testing
