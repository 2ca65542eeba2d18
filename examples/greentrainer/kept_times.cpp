#include "kept_times.hpp"

#include <cstdlib>
#include <system_error>

#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/sha256.hpp"
#include "greentrainer/train/operator_times_json.hpp"
#include "machine.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* format = "greentrainer-times-1";
constexpr Bytes largest_file = Bytes{16} << 20;

std::filesystem::path cache_folder() {
  const auto folder_in = [](const char* variable) {
    const char* value = std::getenv(variable);
    const std::filesystem::path folder = value == nullptr ? "" : value;
    return folder.is_absolute() ? folder : std::filesystem::path();
  };
  if (const auto cache = folder_in("XDG_CACHE_HOME"); !cache.empty()) return cache / "greentrainer";
  if (const auto home = folder_in("HOME"); !home.empty()) return home / ".cache" / "greentrainer";
  return {};
}

}  // namespace

KeptTimes::KeptTimes(const std::string& backend) {
  description_ = {{"machine", machine_name()}, {"backend", backend}, {"build", detail::build_text()}};
  const std::filesystem::path folder = cache_folder();
  if (folder.empty()) return;
  Sha256 sum;
  sum.update(description_.dump());
  file_ = folder / text("times-", sum.finish().substr(0, 16), ".json");
}

OperatorTimes KeptTimes::load() const {
  std::error_code error;
  if (file_.empty() || !std::filesystem::exists(file_, error)) return {};
  try {
    const Json json = read_json_file(file_, largest_file);
    if (!json.is_object() || json.value("format", Json()) != Json(format) || json.value("of", Json()) != description_)
      throw LoadError("kept_times", file_.string(),
                      text("expected times of this machine and build in the format ", format, ", got others"));
    return operator_times_of(json.value("times", Json()), file_.string());
  } catch (const LoadError& problem) {
    say(text("note: kept times are not used: ", problem.what()));
    return {};
  }
}

void KeptTimes::save(const OperatorTimes& times) const {
  if (file_.empty()) return;
  const Json json = {{"format", format}, {"of", description_}, {"times", json_of(times)}};
  try {
    std::filesystem::create_directories(file_.parent_path());
    atomic_write_file(file_, json.dump(1) + "\n");
  } catch (const SaveError& problem) {
    say(text("note: times are not kept: ", problem.what()));
  } catch (const std::filesystem::filesystem_error& problem) {
    say(text("note: times are not kept: ", problem.what()));
  }
}

std::vector<Batch> calibration_batches(std::span<const Example> examples, Extent batch_size) {
  const FitOptions options{.batch_size = batch_size};
  const TrainingBatches batches(examples, options);
  const auto numbers = batches.of_step(0).front();
  std::vector<Batch> made = {batches.make(numbers)};
  if (numbers.size() > 1) made.push_back(batches.make({numbers.front()}));
  return made;
}

}  // namespace greentrainer::program
