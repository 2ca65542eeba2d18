#include "output.hpp"

#include <algorithm>
#include <system_error>

#include "greentrainer/core/error.hpp"
#include "greentrainer/io/output_folder.hpp"

namespace greentrainer::program {

void check_output(const std::string& output, const std::vector<std::string>& inputs) {
  std::error_code error;
  const auto target = std::filesystem::weakly_canonical(output.empty() ? "." : output, error);
  for (const std::string& input : inputs) {
    if (input.empty() || error) continue;
    const auto path = std::filesystem::weakly_canonical(input, error);
    const auto [end, rest] = std::mismatch(target.begin(), target.end(), path.begin(), path.end());
    if (end == target.end() || (std::next(end) == target.end() && end->empty())) {
      throw SaveError("finetune",
                      text("--output ", output, ": expected a folder that no input lies in, got the one with ", input,
                           "; choose another output"));
    }
  }
  const CreatedParents parents(output);
  const OutputFolder trial(output);
}

CreatedParents::CreatedParents(const std::filesystem::path& output) {
  std::error_code error;
  auto parent = std::filesystem::weakly_canonical(output, error);
  if (!parent.has_filename()) parent = parent.parent_path();
  while (!error && parent.has_relative_path()) {
    parent = parent.parent_path();
    if (std::filesystem::exists(parent, error)) break;
    missing_.push_back(parent);
  }
}

CreatedParents::~CreatedParents() {
  for (const auto& folder : missing_) {
    std::error_code ignored;
    std::filesystem::remove(folder, ignored);  // only if it is empty
  }
}

}  // namespace greentrainer::program
