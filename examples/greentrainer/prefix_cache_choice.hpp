#pragma once

#include <string>

#include "command.hpp"
#include "greentrainer/train/training_options.hpp"

namespace greentrainer::program {

/// What the options say about the values that are kept at the upper end of the frozen part of the model.
struct PrefixCacheChoice {
  std::string mode = "off", limit = "4GiB", type = "float32", folder;

  /// Declares --prefix-cache, --prefix-cache-limit and --prefix-cache-type; `*this` must outlive the command.
  void declare(Command& command);
  /// Declares --prefix-cache-folder, for commands that write there.
  void declare_folder(Command& command);
  /// Throws UsageError for options that do not go together.
  void check(const Command& command) const;

  /// A cache on disk without a folder lies in `otherwise`.
  void set(FitOptions& options, const std::string& otherwise = ".") const;
};

}  // namespace greentrainer::program
