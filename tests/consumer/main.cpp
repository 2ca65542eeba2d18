#include <greentrainer/core/dtype.hpp>
#include <greentrainer/core/version.hpp>
#include <greentrainer/select/selection_problem.hpp>
#if __has_include(<Eigen/Core>) && defined(CONSUMER_HAS_eigen)
#include <Eigen/Core>
#endif
#ifdef CONSUMER_HAS_io
#define PCRE2_CODE_UNIT_WIDTH 8
#include <nlohmann/json.hpp>
#include <pcre2.h>
#endif
#include <iostream>

namespace gt = greentrainer;

int main() {
  gt::SelectionProblem problem{
      .dag = {.nodes = {{.cost = 2, .needs = {}}}, .items = {{.cost = 3, .importance = 1.5, .needs = {0}}}},
      .budget = 5};
  bool right = problem.dag.items[0].cost + problem.dag.nodes[0].cost == problem.budget &&
               gt::parse_dtype("float32") == gt::DType::float32;
#ifdef CONSUMER_HAS_io
  char pcre2_version[64] = {};
  right = right && pcre2_config(PCRE2_CONFIG_VERSION, pcre2_version) > 0;  // links
  std::cout << "PCRE2 " << pcre2_version << nlohmann::json{{"budget", problem.budget}} << "\n";
#endif
#ifdef CONSUMER_HAS_eigen
  right = right && Eigen::Vector2f(3, 4).norm() == 5.0F;
#endif
  std::cout << "greentrainer " << gt::version << "\n";
  return right ? 0 : 1;
}
