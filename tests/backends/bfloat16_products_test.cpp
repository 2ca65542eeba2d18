// The Eigen backend's products with factors in bfloat16.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backends/operator_cases.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/core/random.hpp"

namespace greentrainer::testing {
namespace {

double rounded(double value) { return bfloat16_to_float(float_to_bfloat16(static_cast<float>(value))); }

/// A product's factors and what it is to be, each factor rounded to bfloat16: sums in double.
struct RoundedProduct {
  CaseValues values;
  std::vector<double> expected, magnitudes;
};

RoundedProduct rounded_product(Extent m, Extent n, Extent k, Transpose tx, Transpose tz) {
  RoundedProduct product{initial_values<float>(matmul_case(m, n, k, tx, tz, Write::overwrite)), {}, {}};
  const auto &x = product.values[0], &z = product.values[1];
  for (Extent i = 0; i < m; ++i) {
    for (Extent j = 0; j < n; ++j) {
      double sum = 0, magnitude = 0;
      for (Extent p = 0; p < k; ++p) {
        const double term = rounded(x[static_cast<std::size_t>(tx == Transpose::yes ? p * m + i : i * k + p)]) *
                            rounded(z[static_cast<std::size_t>(tz == Transpose::yes ? j * k + p : p * n + j)]);
        sum += term;
        magnitude += std::fabs(term);
      }
      product.expected.push_back(sum);
      product.magnitudes.push_back(magnitude);
    }
  }
  return product;
}

/// Those that this machine has.
std::vector<eigen::BFloat16Path> paths() {
  std::vector<eigen::BFloat16Path> all = {eigen::BFloat16Path::vectors};
  if (eigen::amx_available()) all.push_back(eigen::BFloat16Path::amx);
  return all;
}

/// Calls test(backend) for a backend of each path, of so many threads.
template <class Test>
void for_each_path(int threads, const Test& test) {
  for (const eigen::BFloat16Path path : paths()) {
    EigenBackend<float> backend(threads, ProductPrecision::bf16, path);
    CAPTURE(backend.name());
    test(backend);
  }
}

constexpr std::array<std::array<Extent, 3>, 8> shapes = {{{7, 65, 33},
                                                          {100, 130, 385},
                                                          {5, 40, 770},
                                                          {60, 70, 1537},
                                                          {1, 64, 64},
                                                          {33, 17, 1},
                                                          {300, 290, 801},
                                                          {64, 1100, 96}}};

void expect_rounded_products(EigenBackend<float>& backend) {
  for (const auto& [m, n, k] : shapes) {
    for (const Transpose tx : {Transpose::no, Transpose::yes}) {
      for (const Transpose tz : {Transpose::no, Transpose::yes}) {
        CAPTURE(m);
        CAPTURE(k);
        CAPTURE(static_cast<int>(tx));
        CAPTURE(static_cast<int>(tz));
        const RoundedProduct product = rounded_product(m, n, k, tx, tz);
        const auto actual = run_case(backend, matmul_case(m, n, k, tx, tz, Write::overwrite), product.values).values[2];
        double worst = 0;  // in units of what k roundings of float may come to
        for (std::size_t i = 0; i < actual.size(); ++i) {
          const double allowed = 0x1p-24 * static_cast<double>(k + 2) * product.magnitudes[i];
          worst = std::max(worst, std::fabs(actual[i] - product.expected[i]) / allowed);
        }
        CHECK(worst < 1);
      }
    }
  }
}

TEST_CASE("A bf16 product is that of the rounded factors, summed in float") {
  for_each_path(2, expect_rounded_products);
}

/// An element of x z + c, or of x z^T + c, as the instruction TDPBF16PS adds up its terms.
float sum_of_tiles(const RoundedProduct& product, Extent i, Extent j, Extent m, Extent n, Extent k, Transpose tx,
                   Transpose tz, float c) {
  const auto &x = product.values[0], &z = product.values[1];
  const auto factors = [&](Extent p) {
    return std::array{
        static_cast<float>(rounded(x[static_cast<std::size_t>(tx == Transpose::yes ? p * m + i : i * k + p)])),
        static_cast<float>(rounded(z[static_cast<std::size_t>(tz == Transpose::yes ? j * k + p : p * n + j)]))};
  };
  for (Extent block = 0; block < k; block += 32) {
    std::array<float, 2> sums = {};  // of even and odd p
    for (Extent p = block; p < std::min(k, block + 32); ++p) {
      const auto [left, right] = factors(p);
      sums[static_cast<std::size_t>(p % 2)] = std::fma(left, right, sums[static_cast<std::size_t>(p % 2)]);
    }
    c += sums[0] + sums[1];
  }
  return c;
}

TEST_CASE("Products by AMX have the bits that Intel's manual defines, at edges and added to what is there") {
  if (!eigen::amx_available()) {
    MESSAGE("SKIP: this processor has no AMX, or the system does not let us use it");
    return;
  }
  EigenBackend<float> backend(2, ProductPrecision::bf16, eigen::BFloat16Path::amx);
  for (const auto& [m, n, k] : shapes) {
    for (const Transpose tx : {Transpose::no, Transpose::yes}) {
      for (const Transpose tz : {Transpose::no, Transpose::yes}) {
        for (const Write write : {Write::overwrite, Write::accumulate}) {
          CAPTURE(m);
          CAPTURE(k);
          const RoundedProduct product = rounded_product(m, n, k, tx, tz);
          const auto actual = run_case(backend, matmul_case(m, n, k, tx, tz, write), product.values).values[2];
          Extent wrong = 0;
          for (Extent i = 0; i < m * n; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const float before = write == Write::accumulate ? static_cast<float>(product.values[2][at]) : 0;
            wrong += static_cast<float>(actual[at]) != sum_of_tiles(product, i / n, i % n, m, n, k, tx, tz, before);
          }
          CHECK(wrong == 0);
        }
      }
    }
  }
}

TEST_CASE("A product whose operands are longer than what is packed at once has the bits of its parts") {
  constexpr Extent wide = 4200, depth = 70;  // packed in pieces of 3840
  const auto expect_parts = [&](EigenBackend<float>& backend) {
    for (const auto& [m, n] : {std::array<Extent, 2>{wide, wide + 40}, {wide + 40, wide}}) {
      const auto x =
          initial_values<float>(matmul_case(m, 1, depth, Transpose::no, Transpose::yes, Write::overwrite))[0];
      const auto z =
          initial_values<float>(matmul_case(1, n, depth, Transpose::no, Transpose::yes, Write::overwrite))[1];
      const std::vector<float> left(x.begin(), x.end()), right(z.begin(), z.end());
      std::vector<float> whole(static_cast<std::size_t>(m * n)), part(static_cast<std::size_t>(100 * n));
      const auto multiply = [&](Extent first, Extent rows, std::vector<float>& y) {
        backend.matmul(Matrix<const float>(left.data() + first * depth, rows, depth), Transpose::no,
                       Matrix<const float>(right.data(), n, depth), Transpose::yes, Matrix<float>(y.data(), rows, n),
                       Write::overwrite);
      };
      multiply(0, m, whole);
      for (const Extent first : {Extent{0}, Extent{3800}, m - 100}) {
        multiply(first, 100, part);
        CHECK(std::equal(part.begin(), part.end(), whole.begin() + first * n));
      }
    }
  };
  for_each_path(2, expect_parts);
  EigenBackend<float> exact(2);
  expect_parts(exact);
}

void expect_same_bits(eigen::BFloat16Path path) {
  EigenBackend<float> one(1, ProductPrecision::bf16, path), three(3, ProductPrecision::bf16, path);
  CAPTURE(one.name());
  for (const Transpose tx : {Transpose::no, Transpose::yes}) {
    for (const Transpose tz : {Transpose::no, Transpose::yes}) {
      const auto test = matmul_case(300, 290, 801, tx, tz, Write::accumulate);
      const CaseValues values = initial_values<float>(test);
      CHECK(run_case(one, test, values).values == run_case(three, test, values).values);
    }
  }
  constexpr Extent depth = 1501;
  const auto whole = matmul_case(70, 90, depth, Transpose::no, Transpose::yes, Write::overwrite);
  const CaseValues values = initial_values<float>(whole);
  const std::vector<double> expected = run_case(one, whole, values).values[2];
  for (const Extent rows : {1, 2, 7, 13, 48}) {  // few rows are multiplied another way
    const auto part = matmul_case(rows, 90, depth, Transpose::no, Transpose::yes, Write::overwrite);
    CaseValues some = values;
    some[0].resize(static_cast<std::size_t>(rows * depth));
    some[2].resize(static_cast<std::size_t>(rows * 90));
    const std::vector<double> actual = run_case(one, part, some).values[2];
    CHECK(std::equal(actual.begin(), actual.end(), expected.begin()));
  }
}

TEST_CASE("bf16 products are the same bits for any number of threads and any other rows") {
  for (const eigen::BFloat16Path path : paths()) expect_same_bits(path);
}

void expect_stored_as_decoded(EigenBackend<float>& backend) {
  CounterRandom random(5, "weight");
  std::vector<float> values(70 * 832), x(50 * 832), decoded(values.size());
  for (float& value : values) value = static_cast<float>(random.normal());
  for (float& value : x) value = static_cast<float>(random.normal());
  for (const char* name : {"BF16", "Q8_0", "Q4_0", "NF4"}) {
    CAPTURE(name);
    StoredMatrix stored{find_storage_format(name), nullptr, 70, 832};
    std::vector<std::byte> bytes(static_cast<std::size_t>(stored.bytes()));
    encode_blocks(*stored.format, values, bytes);
    decode_blocks<float>(*stored.format, bytes, decoded);
    stored.data = bytes.data();
    const Matrix<const float> elements(decoded.data(), 70, 832);
    for (const Extent rows : {2, 50}) {  // few rows are multiplied another way
      std::vector<float> y(static_cast<std::size_t>(rows * 70)), expected(y.size());
      const Matrix<const float> some(x.data(), rows, 832);
      backend.matmul(some, Transpose::no, stored, Transpose::yes, {y.data(), rows, 70}, Write::overwrite);
      backend.matmul(some, Transpose::no, elements, Transpose::yes, {expected.data(), rows, 70}, Write::overwrite);
      CHECK(y == expected);
    }
  }
}

TEST_CASE("A stored weight gives a bf16 product the same bits as its numbers do") {
  for_each_path(2, expect_stored_as_decoded);
}

void expect_special_factors(EigenBackend<float>& backend) {
  const auto product = [&](float x, float z) {
    std::vector<float> left(64 * 64, 0), right(64 * 64, 0), y(64 * 64);
    left[0] = x;
    right[0] = z;
    const Matrix<float> result(y.data(), 64, 64);
    backend.matmul(Matrix<const float>(left.data(), 64, 64), Transpose::no, Matrix<const float>(right.data(), 64, 64),
                   Transpose::no, result, Write::overwrite);
    return y[0];
  };
  CHECK(product(1 + 0x1p-8F, 1) == 1.0F);
  CHECK(product(1 + 0x3p-8F, 1) == 1 + 0x1p-6F);
  CHECK(product(INFINITY, 2) == INFINITY);
  CHECK(std::isnan(product(NAN, 1)));
  CHECK(product(3.4e38F, 1) == INFINITY);  // the nearest bfloat16
}

TEST_CASE("Factors that are infinite or no number reach the product, and ties round to even") {
  for_each_path(1, expect_special_factors);
}

TEST_CASE("AMX is what multiplies where there is one, and is refused where there is none") {
  const auto name = [](auto... path) { return EigenBackend<float>(1, ProductPrecision::bf16, path...).name(); };
  CHECK(name(eigen::BFloat16Path::vectors).find("AMX") == std::string::npos);
  if (eigen::amx_available())
    CHECK(name().find("products in bf16 (AMX)") != std::string::npos);
  else
    CHECK_THROWS_AS(name(eigen::BFloat16Path::amx), ConfigError);
}

TEST_CASE("Precision is in the backend's name; doubles are never rounded, and tf32 is refused") {
  CHECK(EigenBackend<float>(1, ProductPrecision::bf16).name().find("products in bf16 (") != std::string::npos);
  CHECK(EigenBackend<float>(1).name().find("bf16") == std::string::npos);
  CHECK(EigenBackend<double>(1, ProductPrecision::bf16).name().find("bf16") == std::string::npos);
  CHECK_THROWS_AS(EigenBackend<float>(1, ProductPrecision::tf32), ConfigError);
}

}  // namespace
}  // namespace greentrainer::testing
