// A comparison that cannot fail is worth nothing: faults are planted in one of the two backends.

#include "greentrainer/backends/comparing.hpp"

#include <limits>

#include <doctest/doctest.h>

#include "backends/operator_cases.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/opaque.hpp"

namespace greentrainer::testing {
namespace {

/// Eigen, with one element of what a kernel wrote made larger by `by`.
class Faulty : public KernelForwarder<Faulty, float> {
 public:
  using Scalar = float;
  std::string kernel;
  double by = 0;  ///< NaN: becomes one

  std::string name() const { return "faulty"; }
  void* allocate(Bytes bytes) { return inner_.allocate(bytes); }
  void deallocate(void* memory, Bytes bytes) noexcept { inner_.deallocate(memory, bytes); }
  void copy_from_host(void* to, const void* from, Bytes bytes) { inner_.copy_from_host(to, from, bytes); }
  void copy_to_host(void* to, const void* from, Bytes bytes) { inner_.copy_to_host(to, from, bytes); }
  void copy(void* to, const void* from, Bytes bytes) { inner_.copy(to, from, bytes); }
  void zero(void* to, Bytes bytes) { inner_.zero(to, bytes); }
  void synchronize() {}

 private:
  friend class KernelForwarder<Faulty, float>;

  template <class Call, class... Arguments>
  void around(std::string_view name, Flops, Call call, const Arguments&... arguments) {
    call(inner_, arguments...);
    bool done = name != kernel;
    (spoil(arguments, done), ...);
  }
  static Extent visible_pairs(const AttentionShape&) { return 0; }

  template <class Argument>
  void spoil(const Argument& argument, bool& done) const {
    if (done) return;
    if constexpr (std::is_same_v<Argument, Matrix<float>>) {
      if (!argument || argument.size() == 0) return;
      argument.data[(argument.rows - 1) * argument.stride + argument.cols - 1] += static_cast<float>(by);
      done = true;
    } else if constexpr (std::is_same_v<Argument, float*> || std::is_same_v<Argument, double*>) {
      if (argument == nullptr) return;
      *argument += static_cast<std::remove_pointer_t<Argument>>(by);
      done = true;
    }
  }

  EigenBackend<float> inner_;
};

template <class B, class Case>
void run(ComparingBackend<EigenBackend<float>, B>& comparing, const Case& test) {
  run_case(comparing, test, initial_values<float>(test));
}

}  // namespace

TEST_CASE("Two backends that agree are found to agree, on every kernel") {
  EigenBackend<float> one(1);
  OpaqueBackend<EigenBackend<float>> two(2);
  ComparingBackend comparing(one, two);
  static_assert(Backend<decltype(comparing)>);
  for_each_operator_case([&](const auto& test) { run(comparing, test); });
  CHECK(comparing.agrees());
  CHECK(comparing.by_kernel().size() == 41);
  for (const auto& [kernel, difference] : comparing.by_kernel()) {
    CAPTURE(kernel);
    CHECK(difference.calls > 0);
    CHECK(difference.absolute == 0);  // the same bits for any number of threads
  }
}

TEST_CASE("A fault in any one kernel is found, and where it is") {
  // At shapes that every kernel has something to write at.
  const auto visit_all = [](auto&& visit) {
    visit(matmul_case(5, 9, 33, Transpose::no, Transpose::yes, Write::overwrite));
    visit(add_bias_case(5, 9, 2));
    visit(bias_grad_case(5, 9, 2));
    visit(embedding_forward_case(6, 5, 9, 0));
    visit(embedding_grad_weight_case(6, 5, 9, 0));
    visit(gather_rows_case(8, 5, 9, 0));
    visit(scatter_rows_case(8, 5, 9, 0, Write::overwrite));
    visit(layer_norm_forward_case(5, 9, 1));
    visit(layer_norm_grad_input_case(5, 9, 1, Write::accumulate));
    visit(layer_norm_grad_weight_case(5, 9, 1));
    visit(rms_norm_forward_case(5, 9, 1));
    visit(rms_norm_grad_input_case(5, 9, 1, Write::overwrite));
    visit(rms_norm_grad_weight_case(5, 9, 1));
    visit(rotary_case(5, 2, 4, Rotation::forward, false));
    visit(activation_forward_case(Activation::gelu, 5, 9, 1));
    visit(activation_grad_case(Activation::silu, 5, 9, 1));
    visit(gated_forward_case(Activation::silu, 5, 9, 1));
    visit(gated_grad_gate_case(Activation::silu, 5, 9, 1));
    visit(gated_grad_up_case(Activation::silu, 5, 9, 1));
    visit(add_case(5, 9, 1));
    visit(accumulate_case(5, 9, 1));
    visit(copy_matrix_case(5, 9, 1));
    visit(dropout_case(5, 9, 1, 0.3, Write::overwrite));
    visit(attention_forward_case(attention_sizes()[1]));
    visit(attention_grad_case(attention_sizes()[1], {.queries = true, .keys = true, .values = true}));
    visit(cross_entropy_forward_case(5, 9, true));
    visit(cross_entropy_forward_case(5, 9, false));
    visit(cross_entropy_grad_case(5, 9));
    visit(adamw_step_case(17));
    visit(adamw_candidate_case(17, State::kept));
    visit(update_dot_case(17));
    visit(sum_of_squares_case(17));
    visit(scale_case(17));
  };
  visit_all([&](const auto& test) {
    CAPTURE(test.name());
    for (const double by : {1e-2, -1e-2, std::numeric_limits<double>::quiet_NaN()}) {
      EigenBackend<float> one(1);
      Faulty two;
      two.kernel = test.kernel;
      two.by = by;
      ComparingBackend comparing(one, two);
      run(comparing, test);
      CHECK_FALSE(comparing.agrees());
      const KernelDifference& difference = comparing.by_kernel().at(test.kernel);
      CHECK(difference.where.find("call 1, argument ") == 0);
      if (by == by) CHECK(difference.absolute == doctest::Approx(std::abs(by)).epsilon(1e-2));
    }
  });
}

TEST_CASE(
    "The program goes on with the reference's numbers, and coarser products are allowed for where they are said to "
    "be") {
  EigenBackend<float> one(1);
  Faulty two;
  two.kernel = "matmul";
  two.by = 0.05;
  ComparingBackend strict(one, two), coarse(one, two, 0x1p-8);
  const auto product = matmul_case(5, 9, 33, Transpose::no, Transpose::yes, Write::overwrite);
  const CaseValues before = initial_values<float>(product);
  CHECK(run_case(strict, product, before).values == run_case(one, product, before).values);
  run(coarse, product);
  CHECK_FALSE(strict.agrees());
  CHECK(coarse.agrees());

  Tensor<decltype(strict)> x(strict, 1, 9), weight(strict, 9, 9), y(strict, 1, 9), z(strict, 1, 9);
  x.upload(std::vector<float>(9, 1.0F));
  weight.upload(std::vector<float>(81, 0.5F));
  strict.matmul(x.matrix(), Transpose::no, weight.matrix(), Transpose::no, y.matrix(), Write::overwrite);
  strict.add(x.matrix(), y.matrix(), z.matrix());
  CHECK(strict.by_kernel().at("add").absolute == 0);
}

}  // namespace greentrainer::testing
