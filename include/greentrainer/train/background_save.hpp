#pragma once

#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include "greentrainer/train/training_state.hpp"

namespace greentrainer {

/// What writes a state into a folder: StateFolder::write, but in tests.
using WriteState = std::function<void(const std::filesystem::path& folder, StateToWrite run)>;

/// What a copy of a run's state may take in memory.
struct CopyRoom {
  Bytes training = 0;  ///< that the passes of training take, as planned
  Bytes beside = 0;    ///< that a copy, and whatever comes, may take beyond that
};

/// A save of a run. Where there is room for a copy of the state, a thread of its own writes the copy while the run goes
/// on; elsewhere it is written, in pieces, before the constructor returns. The bytes on disk are the same. The
/// destructor waits for the thread. docs/decisions/0043-saved-beside-the-steps.md
class BackgroundSave {
 public:
  /// Reads `run` before it returns. Throws what reading a tensor throws; what writing throws, `end` does.
  BackgroundSave(std::filesystem::path folder, StateToWrite run, CopyRoom room,
                 const WriteState& write = StateFolder::write)
      : folder_(std::move(folder)), room_(room) {
    if (run.bytes() > room_.beside || !write_copy(run, write)) write_now(std::move(run), write);
  }

  const std::filesystem::path& folder() const { return folder_; }
  /// Bytes of the copied tensors; 0 where the state was written at once.
  Bytes copied() const { return copied_; }
  /// Whether all is written, or has failed, and the copy is gone.
  bool is_over() const { return result_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  /// Whether a phase that takes so many bytes, as planned, may run before the save is over.
  bool leaves_room_for(Bytes phase) const { return is_over() || phase - room_.training <= room_.beside - copied_; }

  void wait() const { result_.wait(); }
  /// Waits, and throws what writing threw. Call it once.
  void end() { result_.get(); }

 private:
  /// False without memory for a copy, or without a thread.
  bool write_copy(const StateToWrite& run, const WriteState& write) {
    try {
      // The result keeps the function: what is moved out of it is gone once it is written.
      result_ = std::async(std::launch::async, [folder = folder_, copy = std::make_unique<StateToWrite>(run.copied()),
                                                write]() mutable { write(folder, std::move(*copy)); });
    } catch (const std::bad_alloc&) {
      return false;
    } catch (const std::system_error&) {
      return false;
    }
    copied_ = run.bytes();
    return true;
  }

  void write_now(StateToWrite run, const WriteState& write) {
    std::promise<void> done;
    result_ = done.get_future();
    try {
      write(folder_, std::move(run));
      done.set_value();
    } catch (...) {
      done.set_exception(std::current_exception());
    }
  }

  std::filesystem::path folder_;
  CopyRoom room_;
  Bytes copied_ = 0;
  std::future<void> result_;
};

}  // namespace greentrainer
