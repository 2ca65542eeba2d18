#pragma once

#include <algorithm>
#include <chrono>
#include <exception>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "console.hpp"
#include "greentrainer/io/folder_manifest.hpp"
#include "greentrainer/train/trainer.hpp"
#include "machine.hpp"

namespace greentrainer::program {

/// How often a run is saved, as --save-every says; at most one is positive, and none is never.
struct SaveInterval {
  Extent steps = 0, epochs = 0;
  double seconds = 0;

  bool is_never() const { return steps == 0 && epochs == 0 && seconds == 0; }
};

/// "100", "500s" (steps), "1e" (epochs), "10min", "2h" or "none". Throws UsageError.
SaveInterval parse_save_interval(const std::string& value);

/// The saved states of the runs that write an output: folders step-N in one beside it, of which the newest are kept.
class SavedStates {
 public:
  SavedStates(std::filesystem::path folder, SaveInterval every, Extent keep)
      : folder_(std::move(folder)), every_(every), keep_(keep) {}

  const std::filesystem::path& folder() const { return folder_; }

  /// Goes on where a run stopped: `resume` is "auto", "never" or the folder of a state. Returns that folder, or an
  /// empty path where there is nothing to go on with. With auto a damaged state is set aside, with a word, for the one
  /// before; one that is whole and could not be read stays. Throws StateMismatch and LoadError.
  template <Backend B>
  std::filesystem::path resume(Trainer<B>& trainer, const std::string& resume, bool other_build) {
    settle_killed_saves();
    if (resume == "never") return {};
    if (resume != "auto") {
      load(trainer, resume, other_build);
      return resume;
    }
    for (const std::filesystem::path& state : newest_first()) {
      try {
        load(trainer, state, other_build);
        for (const auto& path : newest_first()) known_[path];
        return state;
      } catch (const StateMismatch& error) {
        const bool of_build =
            std::find(build_entries.begin(), build_entries.end(), error.subject()) != build_entries.end();
        throw StateMismatch("finetune", error.subject(),
                            text(error.detail(), "; --resume never starts anew, or choose another --output",
                                 of_build ? "; --other-build goes on, rounding as this build does" : ""));
      } catch (const LoadError& error) {
        const auto manifest = FolderManifest::read(state);
        const bool is_whole = manifest && manifest->is_complete(state);
        if (!is_whole) set_aside(state, error.what());
        if (!is_whole && trainer.is_started()) continue;
        throw LoadError(
            "finetune", state.string(),
            text("expected to go on from it, got: ", error.what(),
                 is_whole ? "; it is as it was saved: the same command tries again, --resume never starts anew"
                          : "; the same command tries an earlier one"));
      }
    }
    return {};
  }

  /// Saves the run if it is time to, while it goes on where memory has room for a copy: half of what can be had, since
  /// the run may still take the other. What fails is said, by `end_save` or a later call, and the run goes on.
  template <Backend B>
  void save_when_due(Trainer<B>& trainer) {
    if (trainer.is_save_over()) end_save(trainer);
    if (!is_due(trainer.steps_done(), trainer.steps_per_epoch())) return;
    end_save(trainer);
    began_ = Clock::now();
    say_what_fails([&] { trainer.begin_save(place_of(trainer), available_memory() / 2); });
    if (trainer.is_save_over()) end_save(trainer);
  }
  /// Waits for a save that save_when_due began.
  template <Backend B>
  void end_save(Trainer<B>& trainer) {
    if (trainer.is_saving()) say_what_fails([&] { note_saved(trainer.end_save()); });
  }
  /// Saves the run; returns where. Throws SaveError.
  template <Backend B>
  std::filesystem::path save(Trainer<B>& trainer) {
    const auto place = place_of(trainer);
    trainer.save(place);
    note_saved(place);
    return place;
  }
  bool saves() const { return !every_.is_never(); }

  /// The run has ended well: its states, and those of earlier ones, are not needed any more.
  void remove_all();

 private:
  using Clock = std::chrono::steady_clock;

  template <Backend B>
  static void load(Trainer<B>& trainer, const std::filesystem::path& state, bool other_build) {
    trainer.load(state, other_build);
    say(text("going on after step ", trainer.steps_done(), ", from ", state.string()));
  }

  template <Backend B>
  std::filesystem::path place_of(const Trainer<B>& trainer) const {
    return folder_ / text("step-", trainer.steps_done());
  }

  template <class Save>
  void say_what_fails(const Save& save) {
    try {
      save();
    } catch (const std::exception& error) {
      say(text("warning: the run could not be saved: ", error.what()));
      began_ = Clock::now();
    }
  }

  /// Puts in place, or removes, what runs have left that were killed while they saved. Requires the output's lock.
  void settle_killed_saves() const;
  /// What the folder has; nothing where there is none. Throws LoadError.
  std::vector<std::filesystem::path> listed() const;
  /// States by falling number of steps. Throws LoadError.
  std::vector<std::filesystem::path> newest_first() const;
  bool is_due(Extent step, Extent steps_per_epoch) const;
  void note_saved(const std::filesystem::path& place);
  void remove(const std::filesystem::path& state);
  static void set_aside(const std::filesystem::path& state, const std::string& why);

  std::filesystem::path folder_;
  SaveInterval every_;
  Extent keep_;
  Clock::time_point began_ = Clock::now();  ///< of the time until the next save
  /// States of this run, with what is known of their files.
  std::map<std::filesystem::path, FolderManifest::Seen> known_;
};

}  // namespace greentrainer::program
