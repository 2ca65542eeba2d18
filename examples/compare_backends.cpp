// compare_backends MODEL DATA.jsonl [DEVICE]
// The CPU against CUDA: every kernel of training on the same operands, then loss, logits and gradients of the first
// four rows, each backend by itself. Exit status: 0 if all differences are what rounding may do, 1 if not, 77 without a
// device.
#include <greentrainer/greentrainer.hpp>
#include <iomanip>
#include <iostream>
#include <string>

#include "greentrainer/backend_comparison.hpp"
#include "greentrainer/backends.hpp"
namespace gt = greentrainer;

namespace {

// Unused where CUDA is not built: the lambda that calls it is then never instantiated.
[[maybe_unused]] void print(const gt::program::BackendComparison& comparison) {
  std::cout << "reference " << comparison.reference << ", other " << comparison.other << "\n\n"
            << std::scientific << std::setprecision(2);
  for (const auto& [kernel, difference] : comparison.kernels) {
    std::cout << (difference.excess <= 1 ? "  " : "! ") << std::left << std::setw(24) << kernel << std::right
              << std::setw(6) << difference.calls << " calls, largest difference " << difference.absolute
              << ", relative " << difference.relative << ", " << std::fixed << difference.excess
              << " of what is allowed" << std::scientific << (difference.where.empty() ? "" : "; " + difference.where)
              << "\n";
  }
  std::cout << "\n";
  for (const auto& tensor : comparison.tensors) {
    std::cout << (tensor.agrees() ? "  " : "! ") << std::left << std::setw(64) << tensor.name << std::right
              << " largest difference " << tensor.absolute << " at element " << tensor.where << ", relative "
              << tensor.relative << " of " << tensor.tolerance << "\n";
  }
  std::cout << "\n" << (comparison.agrees() ? "They agree.\n" : "They do not agree.\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::cerr << "usage: compare_backends MODEL DATA.jsonl [DEVICE]\n";
    return 2;
  }
  try {
    gt::program::BackendChoice choice{.name = "cuda", .device = argc == 4 ? std::stol(argv[3]) : 0};
    return gt::program::with_cuda(choice, [&](auto& other) {
      gt::EigenBackend reference;
      const auto model = gt::load_pretrained(argv[1], reference);
      auto data = gt::load_jsonl(argv[2], model);
      if (data.examples.size() > 4) data.examples.resize(4);
      const auto comparison = gt::program::compare_backends(reference, other, argv[1], data.examples, {});
      print(comparison);
      return comparison.agrees() ? 0 : 1;
    });
  } catch (const gt::MissingDevice& error) {
    std::cerr << error.what() << "\n";
    return 77;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
