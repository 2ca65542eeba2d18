// What the CUDA backend offers beyond the contract.

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backends/operator_cases.hpp"
#include "greentrainer/backends/cuda.hpp"
#include "greentrainer/core/dtype.hpp"
#include "support/temporary_folder.hpp"

namespace greentrainer::testing {
namespace {

/// The device's memory, full of what a host buffer held when it was copied there.
std::vector<std::uint32_t> counting(std::size_t count, std::uint32_t from) {
  std::vector<std::uint32_t> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = from + static_cast<std::uint32_t>(i);
  return values;
}

TEST_CASE("A device that is not there is said to be missing") {
  const std::string message = error_of<MissingDevice>([] { CudaBackend<float> backend(999); });
  CHECK(has(message, "device 999: expected one of the "));
  CHECK(has(error_of<MissingDevice>([] { CudaBackend<float> backend(-1); }), "device -1: expected"));
}

TEST_CASE("The name tells device, element type and precision of products") {
  CHECK(has(CudaBackend<float>(0).name(), ", float)"));
  CHECK(has(CudaBackend<double>(0).name(), ", double)"));
  CHECK(has(CudaBackend<float>(0, {.products = ProductPrecision::bf16}).name(), ", float, products in bf16)"));
  CHECK_FALSE(has(CudaBackend<double>(0, {.products = ProductPrecision::bf16}).name(), "bf16"));
}

TEST_CASE("The PCI bus address is domain, bus, device and function") {
  static const std::regex form("[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\\.[0-7]");
  CHECK(std::regex_match(CudaBackend<float>(0).pci_bus_address(), form));
}

TEST_CASE("An upload takes the bytes as they are, whatever becomes of the buffer, and large ones arrive whole") {
  CudaBackend<float> backend(0);
  const std::size_t count = 1'700'001;  // more than three chunks of pinned memory
  const auto bytes = static_cast<Bytes>(count * sizeof(std::uint32_t));
  std::vector<void*> blocks;
  for (std::uint32_t i = 0; i < 5; ++i) {
    std::vector<std::uint32_t> buffer = counting(count, i * 1000);
    blocks.push_back(backend.allocate(bytes));
    backend.copy_from_host(blocks.back(), buffer.data(), bytes);
    std::fill(buffer.begin(), buffer.end(), 0xdeadU);
  }
  for (std::uint32_t i = 0; i < 5; ++i) {
    std::vector<std::uint32_t> back(count);
    backend.copy_to_host(back.data(), blocks[i], bytes);
    CHECK(back == counting(count, i * 1000));
    backend.deallocate(blocks[i], bytes);
  }
}

TEST_CASE("Many small copies to and fro arrive in order") {
  CudaBackend<float> backend(0);
  const std::size_t count = 1000;
  const Bytes bytes = count * sizeof(std::uint32_t);
  void* const memory = backend.allocate(bytes);
  for (std::uint32_t i = 0; i < 2000; ++i) {
    const std::vector<std::uint32_t> buffer = counting(count, i);
    backend.copy_from_host(memory, buffer.data(), bytes);
    if (i % 301 != 0) continue;
    std::vector<std::uint32_t> back(count);
    backend.copy_to_host(back.data(), memory, bytes);
    CHECK(back == buffer);
  }
  backend.deallocate(memory, bytes);
}

TEST_CASE("Out of memory says how much was asked for, what there is and what to lower; what is freed serves again") {
  CHECK_THROWS_WITH_AS(CudaBackend<float>(0, {.memory_limit = -1}),
                       doctest::Contains("memory_limit: expected at least 0, which is no limit, got -1"), ConfigError);
  const Bytes limit = Bytes{200} << 20;
  CudaBackend<float> backend(0, {.memory_limit = limit});
  const Bytes half = Bytes{100} << 20;
  void* const first = backend.allocate(half);
  const std::string message = error_of<BackendError>([&] { backend.allocate(half); });
  CAPTURE(message);
  CHECK(has(message, "asked for 104857600 bytes (0.10 GiB), while of 0.20 GiB "));
  CHECK(has(message, " are in use here and "));
  CHECK(has(message, "lower the batch size, the tokens of a batch or the FLOPs ratio"));
  CHECK(backend.memory().in_use >= half);
  CHECK(backend.memory().reserved <= limit);
  backend.deallocate(first, half);
  void* const second = backend.allocate(half);
  CHECK(second == first);
  backend.deallocate(second, half);
}

TEST_CASE("Steps like the last one take no more memory from the device") {
  CudaBackend<float> backend(0);
  const auto run_all = [&] {
    for_each_attention_case([&](const auto& test) { run_case(backend, test, initial_values<float>(test)); });
    run_case(backend, embedding_grad_weight_case(40, 50, 64, 0),
             initial_values<float>(embedding_grad_weight_case(40, 50, 64, 0)));
    run_case(backend, bias_grad_case(500, 64, 0), initial_values<float>(bias_grad_case(500, 64, 0)));
  };
  const Bytes before = backend.memory().in_use;
  run_all();
  const Bytes reserved = backend.memory().reserved;
  CHECK(backend.memory().in_use == before);
  run_all();
  CHECK(backend.memory().reserved == reserved);
}

/// x (n, n) times the identity.
std::vector<float> through_product(ProductPrecision precision, const std::vector<float>& values, Extent n) {
  CudaBackend<float> backend(0, {.products = precision});
  std::vector<float> identity(static_cast<std::size_t>(n * n), 0.0F);
  for (Extent i = 0; i < n; ++i) identity[static_cast<std::size_t>(i * (n + 1))] = 1;
  Tensor<CudaBackend<float>> x(backend, n, n), one(backend, n, n), y(backend, n, n);
  x.upload(values);
  one.upload(identity);
  backend.matmul(x.matrix(), Transpose::no, one.matrix(), Transpose::no, y.matrix(), Write::overwrite);
  return y.download();
}

TEST_CASE("bf16 products round each factor to the nearest bfloat16, full ones nothing") {
  const Extent n = 37;
  CounterRandom random(4, "bf16");
  std::vector<float> values(static_cast<std::size_t>(n * n));
  for (float& v : values)
    v = static_cast<float>(random.normal() * std::exp2(static_cast<double>(random.below(60)) - 30));
  values[0] = 1 + 0x1p-8F;  // ties go to even
  values[1] = 1 + 3 * 0x1p-8F;
  values[2] = -(1 + 0x1p-8F + 0x1p-20F);
  const std::vector<float> rounded = through_product(ProductPrecision::bf16, values, n),
                           same = through_product(ProductPrecision::full, values, n);
  CHECK(same == values);
  CHECK(rounded[0] == 1.0F);
  CHECK(rounded[1] == 1 + 0x1p-6F);
  CHECK(rounded[2] == -(1 + 0x1p-7F));
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(rounded[i] == bfloat16_to_float(float_to_bfloat16(values[i])));
}

TEST_CASE("Products in reduced precision are as near as their factors' digits, for every layout") {
  const std::vector<std::pair<ProductPrecision, double>> precisions = {{ProductPrecision::tf32, 0x1p-10},
                                                                       {ProductPrecision::bf16, 0x1p-8}};
  ReferenceBackend<double> reference;
  for (const auto& [precision, epsilon] : precisions) {
    CudaBackend<float> backend(0, {.products = precision});
    for (const Transpose tx : {Transpose::no, Transpose::yes}) {
      for (const Transpose tz : {Transpose::no, Transpose::yes}) {
        for (const Extent gap : {0, 3}) {
          const auto test = matmul_case(33, 40, 129, tx, tz, Write::accumulate, gap);
          CAPTURE(test.name());
          const CaseValues before = initial_values<float>(test);
          const CaseOutcome expected = run_case(reference, test, before), actual = run_case(backend, test, before);
          const double allowed = 4 * epsilon * std::sqrt(129.0);
          for (std::size_t i = 0; i < expected.values[2].size(); ++i)
            CHECK(std::abs(actual.values[2][i] - expected.values[2][i]) <= allowed);
        }
      }
    }
  }
}

TEST_CASE("Rows of 65,536 and more, which are more than a grid's second dimension has") {
  CudaBackend<float> backend(0);
  ReferenceBackend<double> reference;
  for (const auto& test : {add_bias_case(70'001, 2, 0), add_bias_case(66'000, 3, 1)}) {
    const CaseValues before = initial_values<float>(test);
    const std::vector<double> actual = run_case(backend, test, before).values[0],
                              expected = run_case(reference, test, before).values[0];
    for (std::size_t i = 0; i < actual.size(); ++i) REQUIRE(std::abs(actual[i] - expected[i]) < 1e-5);
  }
}

TEST_CASE("Two backends on one device do not disturb each other") {
  std::optional<CudaBackend<float>> one(std::in_place, 0);
  CudaBackend<double> two(0);
  const auto test = layer_norm_forward_case(9, 40, 0);
  const CaseValues before = initial_values<float>(test);
  const std::vector<double> first = run_case(*one, test, before).values[3];
  run_case(two, test, before);
  CHECK(run_case(*one, test, before).values[3] == first);
  one.reset();
  CHECK(run_case(two, test, before).values[3].size() == first.size());
}

}  // namespace
}  // namespace greentrainer::testing
