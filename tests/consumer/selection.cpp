// Selection alone, on a graph of one's own: the standard library is all it needs. A selector of one's own stands beside
// the library's, which is linked to where the library was compiled.
#include <greentrainer/select/chain_problem.hpp>
#include <greentrainer/select/exact_selector.hpp>
#include <iostream>

namespace gt = greentrainer;

namespace {

/// Takes tensors from the one nearest to the loss on, as long as the budget lasts.
struct NearestFirst {
  gt::SelectionResult select(const gt::SelectionProblem& problem) const {
    std::vector<bool> mask(problem.dag.items.size(), false);
    for (std::size_t i = 0; i < mask.size(); ++i) {
      mask[i] = true;
      mask[i] = gt::cost_of(problem.dag, mask) <= problem.budget;
    }
    return gt::make_result(problem.dag, mask);
  }
};

}  // namespace

int main() {
  const gt::ChainProblem chain{
      .grad_input = {0, 2, 1, 4, 0}, .grad_weight = {5, 1, 7, 3, 1}, .importance = {1, 3, 10, 5, 3}, .budget = 14.4};
  const gt::ChainSelection best = gt::select_on_chain(gt::ExactSelector{}, chain);
  const gt::ChainSelection nearest = gt::select_on_chain(NearestFirst{}, chain);
  std::cout << "exact: " << best.importance << " for " << best.cost << "; nearest first: " << nearest.importance
            << " for " << nearest.cost << '\n';
  return best.importance == 18 && best.cost == 14 && best.optimal && nearest.importance < 18 ? 0 : 1;
}
