#include "cuda_emulation/emulation.hpp"

#include <charconv>
#include <ranges>
#include <stdexcept>

#include "cuda_emulation/source/runtime.hpp"

namespace greentrainer::cuda_emulation {

namespace {

unsigned parse_seed(std::string_view word) {
  const std::string_view digits = word.substr(word.find(':') + 1);
  unsigned seed = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seed);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    throw std::invalid_argument(text("[GREENTRAINER_EMULATION] '", word, "': expected random:SEED, a number"));
  }
  return seed;
}

}  // namespace

Settings parse_settings(std::string_view words) {
  Settings settings;
  for (const auto part : std::views::split(words, ',')) {
    const std::string_view word(part.begin(), part.end());
    if (word == "forward") {
      settings.order = Order::forward;
    } else if (word == "reverse") {
      settings.order = Order::reverse;
    } else if (word == "random" || word.starts_with("random:")) {
      settings.order = Order::random;
      if (word != "random") settings.seed = parse_seed(word);
    } else if (word == "immediate") {
      settings.streams = Streams::immediate;
    } else if (word == "deferred") {
      settings.streams = Streams::deferred;
    } else if (word == "protected") {
      settings.protect_device_memory = true;
    } else if (!word.empty()) {
      throw std::invalid_argument(text(
          "[GREENTRAINER_EMULATION] expected forward, reverse, random[:SEED], immediate, deferred or protected, got '",
          word, "'"));
    }
  }
  return settings;
}

std::string text_of(const Settings& settings) {
  std::string words = settings.order == Order::forward   ? "forward"
                      : settings.order == Order::reverse ? "reverse"
                                                         : text("random:", settings.seed);
  words += settings.streams == Streams::immediate ? ",immediate" : ",deferred";
  if (settings.protect_device_memory) words += ",protected";
  if (!settings.without_barrier.empty()) words += " without " + settings.without_barrier;
  return words;
}

std::vector<Settings> every_mode() {
  std::vector<Settings> modes;
  for (const Order order : {Order::forward, Order::reverse, Order::random}) {
    for (const Streams streams : {Streams::immediate, Streams::deferred})
      modes.push_back({.order = order, .streams = streams});
  }
  return modes;
}

Session::Session(const Settings& settings) { Runtime::instance().begin_session(settings); }
Session::~Session() { Runtime::instance().begin_session(std::nullopt); }

std::vector<std::string> take_faults() { return Runtime::instance().take_faults(); }
std::vector<std::string> take_barriers() { return Runtime::instance().take_barriers(); }
std::size_t live_allocations() { return Runtime::instance().device.live() + Runtime::instance().pinned.live(); }

namespace {

/// What one run finds, or empty.
std::string found_by(const std::function<bool()>& results_differ, const Settings& settings) {
  const Session session(settings);
  std::string found;
  try {
    if (results_differ()) found = "results differ";
  } catch (const std::exception& error) {
    found = error.what();
  }
  const std::vector<std::string> faults = take_faults();
  return faults.empty() ? found : faults.front();
}

}  // namespace

std::vector<BarrierRemoval> remove_each_barrier(const std::function<bool()>& results_differ) {
  take_barriers();
  for (const Settings& mode : every_mode()) {
    const std::string found = found_by(results_differ, mode);
    if (!found.empty())
      throw std::logic_error(
          text("[remove_each_barrier] ", text_of(mode), ": expected a run without faults, got ", found));
  }
  std::vector<BarrierRemoval> removals;
  for (const std::string& barrier : take_barriers()) {
    BarrierRemoval& removal = removals.emplace_back(BarrierRemoval{barrier, {}});
    for (Settings mode : every_mode()) {
      mode.without_barrier = barrier;
      const std::string found = found_by(results_differ, mode);
      if (!found.empty()) removal.noticed.push_back(text_of(mode) + ": " + found);
    }
  }
  return removals;
}

}  // namespace greentrainer::cuda_emulation
