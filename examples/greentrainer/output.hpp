#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/io/output_folder.hpp"

namespace greentrainer::program {

/// Throws SaveError if an input lies in the output folder: replacing it would take the input away.
void expect_inputs_outside(const std::string& output, const std::vector<std::string>& inputs);

/// Takes an output for a run, at its start: refused are one that another run writes to, one with files that this
/// program did not write, unless `options.overwrite` says otherwise, and one that cannot be written. Says on stderr
/// what killed runs have left there. Throws SaveError.
std::unique_ptr<OutputFolder> open_output(std::string_view command, const std::string& path, OutputOptions options);

/// Where results can go when their output cannot be written, in order: new folders beside it, in the folder for
/// temporary files, and in the current one.
std::vector<std::filesystem::path> second_places(const std::filesystem::path& output);

}  // namespace greentrainer::program
