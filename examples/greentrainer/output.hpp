#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace greentrainer::program {

/// Throws SaveError if the output folder could not be written, or if an input lies in it: replacing it would take the
/// input away. To be called before a long run; leaves nothing behind.
void check_output(const std::string& output, const std::vector<std::string>& inputs);

/// Removes the parent folders of an output again that were made for it, unless the output was written.
class CreatedParents {
 public:
  explicit CreatedParents(const std::filesystem::path& output);
  ~CreatedParents();
  CreatedParents(const CreatedParents&) = delete;
  CreatedParents& operator=(const CreatedParents&) = delete;
  void keep() { missing_.clear(); }

 private:
  std::vector<std::filesystem::path> missing_;  ///< before, the deepest first
};

}  // namespace greentrainer::program
