#include "saved_states.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "command.hpp"
#include "greentrainer/io/folder_manifest.hpp"
#include "greentrainer/io/output_leftovers.hpp"
#include "greentrainer/io/output_lock.hpp"

namespace greentrainer::program {

namespace {

/// What the name of a state begins with while it is removed.
constexpr const char* going_front = ".going-";

/// The number of steps in a state's name.
std::optional<Extent> steps_of(const std::filesystem::path& state) {
  constexpr std::string_view front = "step-";
  const std::string name = state.filename().string();
  if (!name.starts_with(front)) return std::nullopt;
  Extent steps = 0;
  const char* const end = name.data() + name.size();
  const auto [read, error] = std::from_chars(name.data() + front.size(), end, steps);
  return error == std::errc{} && read == end && steps >= 0 ? std::optional(steps) : std::nullopt;
}

}  // namespace

SaveInterval parse_save_interval(const std::string& value) {
  if (value == "none") return {};
  Extent number = 0;
  const char* const last = value.data() + value.size();
  const auto [end, error] = std::from_chars(value.data(), last, number);
  const std::string unit(end, last);
  if (error == std::errc{} && number >= 1 && number <= most_steps) {
    if (unit.empty() || unit == "s") return {.steps = number};
    if (unit == "e") return {.epochs = number};
    if (unit == "min") return {.seconds = 60.0 * static_cast<double>(number)};
    if (unit == "h") return {.seconds = 3600.0 * static_cast<double>(number)};
  }
  bad_usage("finetune", text("--save-every: expected steps such as 500 or 500s, epochs such as 1e, a time such as ",
                             "10min or 2h, or none, got ", value));
}

std::vector<std::filesystem::path> SavedStates::listed() const {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error))
    paths.push_back(entry->path());
  // States that are not seen would be states that are lost.
  if (error && error != std::errc::no_such_file_or_directory) {
    throw LoadError("finetune", folder_.string(),
                    text("expected to list the saved states in it, got \"", error.message(), "\""));
  }
  return paths;
}

std::vector<std::filesystem::path> SavedStates::newest_first() const {
  std::vector<std::pair<Extent, std::filesystem::path>> states;
  for (const std::filesystem::path& path : listed()) {
    if (const auto steps = steps_of(path)) states.emplace_back(*steps, path);
  }
  std::sort(states.rbegin(), states.rend());
  std::vector<std::filesystem::path> paths;
  for (auto& [steps, path] : states) paths.push_back(std::move(path));
  return paths;
}

void SavedStates::settle_killed_saves() const {
  std::set<std::string> names;
  for (const std::filesystem::path& path : listed()) {
    const std::string hidden = path.filename().string();  // .step-12.tmp-34-0, .step-12.output-lock
    if (hidden.starts_with(going_front)) {
      remove_listed(path, FolderManifest::read(path).value_or(FolderManifest{}));
      continue;
    }
    const std::string name = hidden.substr(std::min<std::size_t>(1, hidden.size()), hidden.find('.', 1) - 1);
    if (hidden.starts_with('.') && steps_of(name)) names.insert(name);
  }
  for (const std::string& name : names) {
    const OutputPlace place = output_place(folder_ / name);
    const OutputLock lock(place.lock(), place.target.string());
    greentrainer::detail::settle_leftovers(place, {}, lock.held(),
                                           [](const std::string& line) { say("note: " + line); });
  }
}

bool SavedStates::is_due(Extent step, Extent steps_per_epoch) const {
  if (every_.steps > 0) return step % every_.steps == 0;
  if (every_.epochs > 0) return step % (every_.epochs * steps_per_epoch) == 0;
  return every_.seconds > 0 && std::chrono::duration<double>(Clock::now() - began_).count() >= every_.seconds;
}

void SavedStates::note_saved(const std::filesystem::path& place) {
  FolderManifest::Seen& seen = known_[place];
  if (const auto manifest = FolderManifest::read(place)) {
    for (const auto& [name, file] : manifest->files) {
      if (const auto identity = greentrainer::detail::identity_of(place / name)) seen[name] = *identity;
    }
  }
  Extent kept = 0;
  for (const std::filesystem::path& state : newest_first()) {
    if (!known_.contains(state) || ++kept > keep_) remove(state);  // an earlier run's, whatever its number
  }
  give_back_memory();  // of the copy that was saved
  began_ = Clock::now();
}

void SavedStates::remove(const std::filesystem::path& state) {
  const auto manifest = FolderManifest::read(state);
  if (!manifest) return;  // not this program's
  // Under another name first: who is killed here leaves no state that seems damaged.
  const auto going = folder_ / (going_front + state.filename().string());
  std::error_code error;
  std::filesystem::rename(state, going, error);
  if (error) return;
  remove_listed(going, *manifest, known_.contains(state) ? &known_[state] : nullptr);
  known_.erase(state);
}

void SavedStates::remove_all() {
  try {
    for (const std::filesystem::path& state : newest_first()) remove(state);
  } catch (const LoadError& error) {
    say(text("warning: saved states are left, the result is whole: ", error.what()));
  }
  std::error_code ignored;
  std::filesystem::remove(folder_, ignored);  // if it is empty
}

void SavedStates::set_aside(const std::filesystem::path& state, const std::string& why) {
  std::error_code error;
  auto aside = state;
  for (int i = 1; aside == state || std::filesystem::exists(std::filesystem::symlink_status(aside, error)); ++i)
    aside = text(state.string(), ".damaged-", i);
  std::filesystem::rename(state, aside, error);
  say(text("warning: ", why, "; it is now ", aside.string(), ", and an earlier one is tried"));
}

}  // namespace greentrainer::program
