#pragma once

// What AddressSanitizer and ThreadSanitizer have to be told of; nothing in builds without them.

#include <cstddef>
#include <memory>

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define GREENTRAINER_ADDRESS_SANITIZER 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define GREENTRAINER_THREAD_SANITIZER 1
#include <sanitizer/tsan_interface.h>
extern "C" {  // exported, in no header
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
}
#endif

/// For functions whose accesses are the emulation's own, where Unobserved cannot be.
#define GREENTRAINER_UNOBSERVED __attribute__((no_sanitize("thread")))

namespace greentrainer::cuda_emulation {

// --- AddressSanitizer ---

#ifdef GREENTRAINER_ADDRESS_SANITIZER
inline constexpr bool address_sanitizer = true;
inline void forbid(const void* memory, std::size_t bytes) { __asan_poison_memory_region(memory, bytes); }
inline void allow(const void* memory, std::size_t bytes) { __asan_unpoison_memory_region(memory, bytes); }
/// Before a jump to another stack. `keep` remembers what belongs to the one left; null if nobody comes back to it.
inline void leave_stack(void** keep, const void* to, std::size_t bytes) {
  __sanitizer_start_switch_fiber(keep, to, bytes);
}
/// After it, on the other stack: what was remembered there, null at its first time; and where the stack that was left
/// is.
inline void enter_stack(void* kept, const void** from, std::size_t* bytes) {
  __sanitizer_finish_switch_fiber(kept, from, bytes);
}
#else
inline constexpr bool address_sanitizer = false;
inline void forbid(const void*, std::size_t) {}
inline void allow(const void*, std::size_t) {}
inline void leave_stack(void**, const void*, std::size_t) {}
inline void enter_stack(void*, const void**, std::size_t*) {}
#endif

// --- ThreadSanitizer ---

#ifdef GREENTRAINER_THREAD_SANITIZER
inline constexpr bool thread_sanitizer = true;

/// The emulation's own accesses, which no race is looked for in.
class Unobserved {
 public:
  Unobserved() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  Unobserved(const Unobserved&) = delete;
  Unobserved& operator=(const Unobserved&) = delete;
  ~Unobserved() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

/// What was done before a release has happened before what is done after an acquire. All order there is between actors.
/// On the heap, so that a new clock knows nothing of an old one at its address.
class Clock {
 public:
  void release() { __tsan_release(place_.get()); }
  void acquire() { __tsan_acquire(place_.get()); }

 private:
  std::unique_ptr<char> place_ = std::make_unique<char>();
};

/// Something that runs beside everything else: a thread of a kernel, or a copy on a stream. It starts after what its
/// maker did.
class Actor {
 public:
  /// From here on this thread acts as this actor, until it leaves. Inlined, as ThreadSanitizer follows who enters and
  /// leaves functions, too.
  __attribute__((always_inline)) void enter() {
    outside_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber_.get(), __tsan_switch_to_fiber_no_sync);
  }
  __attribute__((always_inline)) void leave() { __tsan_switch_to_fiber(outside_, __tsan_switch_to_fiber_no_sync); }

 private:
  struct Destroy {
    void operator()(void* fiber) const { __tsan_destroy_fiber(fiber); }
  };
  std::unique_ptr<void, Destroy> fiber_{__tsan_create_fiber(0)};
  void* outside_ = nullptr;
};

/// Observed where the rest is not, and only there.
GREENTRAINER_UNOBSERVED inline void observe_read(const void* memory, std::size_t bytes) {
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  __tsan_read_range(const_cast<void*>(memory), bytes);
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
}
GREENTRAINER_UNOBSERVED inline void observe_write(void* memory, std::size_t bytes) {
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  __tsan_write_range(memory, bytes);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
#else
inline constexpr bool thread_sanitizer = false;
class Unobserved {
 public:
  Unobserved() {}
  ~Unobserved() {}  // not trivial, so that a variable of this type counts as used
};
class Clock {
 public:
  void release() {}
  void acquire() {}
};
class Actor {
 public:
  void enter() {}
  void leave() {}
};
inline void observe_read(const void*, std::size_t) {}
inline void observe_write(void*, std::size_t) {}
#endif

/// Calls act() as something that comes after what happened on a stream, and before what will. Of its accesses only
/// those are observed that it says.
template <class Act>
GREENTRAINER_UNOBSERVED void act_on(Clock& stream, Act act) {
  Actor actor;
  actor.enter();
  {
    const Unobserved scope;
    stream.acquire();
    act();
    stream.release();
  }
  actor.leave();
}

}  // namespace greentrainer::cuda_emulation
