#include "output.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

#include "console.hpp"
#include "greentrainer/data/data_file.hpp"

namespace greentrainer::program {

void expect_inputs_outside(const std::string& output, const std::vector<std::string>& inputs) {
  std::error_code error;
  const auto target = std::filesystem::weakly_canonical(output.empty() ? "." : output, error);
  for (const std::string& input : inputs) {
    if (input.empty() || input == standard_input || error) continue;
    const auto path = std::filesystem::weakly_canonical(input, error);
    const auto [end, rest] = std::mismatch(target.begin(), target.end(), path.begin(), path.end());
    if (end == target.end() || (std::next(end) == target.end() && end->empty())) {
      throw SaveError(
          "finetune", "--output " + output,
          text("expected a folder that no input lies in, got the one with ", input, "; choose another output"));
    }
  }
}

std::unique_ptr<OutputFolder> open_output(std::string_view command, const std::string& path, OutputOptions options) {
  options.on_notice = [](const std::string& line) { say("note: " + line); };
  try {
    return std::make_unique<OutputFolder>(path, std::move(options));
  } catch (const OutputOccupied& error) {
    throw SaveError(command, error.subject(), text(error.detail(), " (--overwrite)"));
  }
}

std::vector<std::filesystem::path> second_places(const std::filesystem::path& output) {
  std::vector<std::filesystem::path> places;
  std::error_code error;
  for (const auto& folder :
       {output.parent_path(), std::filesystem::temp_directory_path(error), std::filesystem::current_path(error)}) {
    if (folder.empty()) continue;
    const std::string name = output.filename().string() + "-rescued";
    auto place = folder / name;
    for (int i = 2; std::filesystem::exists(std::filesystem::symlink_status(place, error)); ++i)
      place = folder / text(name, "-", i);
    if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
  }
  return places;
}

}  // namespace greentrainer::program
