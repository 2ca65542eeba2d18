// Owning tensors: memory comes and goes with them, and bytes that do not fit are refused.

#include "greentrainer/tensor/tensor.hpp"

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/reference.hpp"

using namespace greentrainer;

using Counting = CountingBackend<ReferenceBackend<double>>;

TEST_CASE("a tensor owns its memory: freed with it, moved along, never copied") {
  static_assert(!std::is_copy_constructible_v<Tensor<Counting>> &&
                std::is_nothrow_move_constructible_v<Tensor<Counting>>);
  Counting backend;
  {
    Tensor<Counting> a(backend, 3, 5);
    CHECK(backend.memory().live == 3 * 5 * 8);
    Tensor<Counting> b(std::move(a));
    CHECK(!a);
    CHECK(b.rows() == 3);
    CHECK(backend.memory().live == 3 * 5 * 8);
    Tensor<Counting> c(backend, 1, 2);
    c = std::move(b);  // frees what c had
    CHECK(backend.memory().live == 3 * 5 * 8);
    CHECK(c.cols() == 5);
    c = {};
    CHECK(backend.memory().live == 0);
  }
  CHECK(backend.memory().live == 0);
}

TEST_CASE("what goes up comes down; a shorter upload leaves the rest") {
  Counting backend;
  const std::vector<double> values = {1, 2, 3, 4};
  Tensor<Counting> tensor(backend, values);
  CHECK(tensor.rows() == 1);
  CHECK(tensor.cols() == 4);
  const std::vector<double> two = {7, 8};
  tensor.upload(two);
  CHECK(tensor.download() == std::vector<double>{7, 8, 3, 4});
  tensor.zero();
  CHECK(tensor.download() == std::vector<double>(4, 0));
}

TEST_CASE("tensors without elements ask for no memory") {
  Counting backend;
  for (const auto& [rows, cols] : {std::pair<Extent, Extent>{0, 5}, {5, 0}, {0, 0}}) {
    Tensor<Counting> tensor(backend, rows, cols);
    CHECK(!tensor);
    tensor.zero();
    tensor.upload({});
    CHECK(tensor.download().empty());
  }
  CHECK(backend.memory().allocations == 0);
}

TEST_CASE("shapes and uploads that make no sense are errors") {
  Counting backend;
  CHECK_THROWS_WITH_AS(Tensor<Counting>(backend, -1, 4), doctest::Contains("got (-1, 4)"), ShapeError);
  Tensor<Counting> tensor(backend, 1, 2);
  const std::vector<double> three = {1, 2, 3};
  CHECK_THROWS_WITH_AS(tensor.upload(three), doctest::Contains("expected at most 2, got 3"), ShapeError);
}
