#include "cuda_emulation/source/kernel_run.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string_view>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace greentrainer::cuda_emulation {

namespace {

KernelRun* active_run = nullptr;

bool same(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

std::string index_text(const char* name, uint3 index) {
  return text(name, " (", index.x, ", ", index.y, ", ", index.z, ")");
}

uint3 unravel(std::size_t i, dim3 extents) {
  const std::size_t row = i / extents.x;
  return {static_cast<unsigned>(i % extents.x), static_cast<unsigned>(row % extents.y),
          static_cast<unsigned>(row / extents.y)};
}

std::size_t volume(dim3 extents) { return std::size_t{extents.x} * extents.y * extents.z; }

KernelRun& running() {
  if (active_run == nullptr)
    throw std::logic_error("[cuda_emulation] device code: expected a call from a kernel, got one from the host");
  return *active_run;
}

}  // namespace

std::string text_of(const Site& site) {
  const std::string_view path = site.file_name();
  return text(path.substr(path.find_last_of('/') + 1), ":", site.line());
}

// What kernel_language.hpp declares.
void block_barrier(Site site) { running().block_barrier(site); }
void warp_barrier(unsigned mask, Site site) { running().warp_barrier(mask, site); }
std::uint64_t exchange(unsigned mask, std::uint64_t value, int source, Site site) {
  return running().exchange(mask, value, source, site);
}
GREENTRAINER_UNOBSERVED int lane() { return running().lane(); }
void* shared_memory(const void* identity, const char* name, std::size_t bytes) {
  return running().shared_memory(identity, name, bytes);
}
void* dynamic_shared_memory() {
  const Unobserved scope;
  return running().dynamic_shared_memory();
}

void Scheduler::arrange(std::vector<int>& items, int count) {
  items.resize(static_cast<std::size_t>(count));
  std::iota(items.begin(), items.end(), 0);
  if (order_ == Order::reverse) std::reverse(items.begin(), items.end());
  if (order_ == Order::random) std::shuffle(items.begin(), items.end(), random_);
}

KernelRun::KernelRun(const Launch& launch, Clock& stream, Stacks& stacks, Scheduler& scheduler,
                     const std::string& without_barrier, std::vector<Site>& barriers)
    : launch_(launch),
      stream_(stream),
      stacks_(stacks),
      scheduler_(scheduler),
      without_barrier_(without_barrier),
      barriers_(barriers),
      shared_(launch.dynamic_shared) {
  const std::size_t count = volume(launch.block);
  threads_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const int number = static_cast<int>(i);
    threads_.push_back({Fiber(stacks.begin(number), number), unravel(i, launch.block)});
  }
  meetings_.resize((count + warpSize - 1) / warpSize);
  active_run = this;
}

KernelRun::~KernelRun() { active_run = nullptr; }

KernelRun* KernelRun::active() { return active_run; }

void KernelRun::run() {
  blockDim = launch_.block;
  gridDim = launch_.grid;
  act_on(stream_, [&] { start_.release(); });
  std::vector<int> blocks;
  scheduler_.arrange(blocks, static_cast<int>(volume(launch_.grid)));
  try {
    for (const int block : blocks) {
      blockIdx = unravel(static_cast<std::size_t>(block), launch_.grid);
      run_block();
    }
  } catch (const Fault&) {
    stacks_.forget();
    throw;
  }
  act_on(stream_, [&] { end_.acquire(); });
}

void KernelRun::run_block() {
  shared_.renew();
  stacks_.renew();
  clocks_.clear();
  barrier_clock_ = new_clock();
  for (std::vector<Meeting>& meetings : meetings_) meetings.clear();
  for (Thread& thread : threads_) {
    thread.state = State::ready;
    thread.site = {};
    thread.fiber.prepare(&thread_entry, this);
  }
  do {
    run_warps();
  } while (release_barrier());
  if (const std::string damaged = shared_.damage(); !damaged.empty()) {
    throw Fault{cudaErrorIllegalAddress, text("[", launch_.kernel, "] ", index_text("block", blockIdx),
                                              ": expected writes in shared memory, got some around ", damaged)};
  }
}

GREENTRAINER_UNOBSERVED void KernelRun::thread_entry(void* run) {
  KernelRun& self = *static_cast<KernelRun*>(run);
  self.start_.acquire();
  self.launch_.thread();
  self.end_.release();
  self.self().state = State::returned;
}

/// Until every thread waits at a barrier or has returned.
void KernelRun::run_warps() {
  scheduler_.arrange(warps_, static_cast<int>(meetings_.size()));
  while (!warps_.empty()) {
    const auto next = warps_.begin() + static_cast<std::ptrdiff_t>(scheduler_.choose(warps_.size()));
    if (!run_pass(*next)) warps_.erase(next);
  }
}

/// Lets every lane that can go on do so, and says whether there was one.
bool KernelRun::run_pass(int warp) {
  scheduler_.arrange(lanes_, lanes(warp));
  bool ran = false;
  for (const int lane : lanes_) {
    if (of_warp(warp, lane).state != State::ready) continue;
    resume(warp * warpSize + lane);
    ran = true;
  }
  if (ran) return true;
  for (const int lane : lanes_) {
    if (of_warp(warp, lane).state == State::at_warp_operation) explain_stuck_warp(warp);
  }
  return false;
}

void KernelRun::resume(int thread) {
  running_ = thread;
  threadIdx = self().index;
  in_kernel_ = true;
  self().fiber.resume();
  in_kernel_ = false;
  if (fault_) throw *fault_;
}

/// All threads wait or have returned. Returns whether there is anything left to run.
bool KernelRun::release_barrier() {
  const auto waits = [](const Thread& thread) { return thread.state == State::at_barrier; };
  const auto first = std::find_if(threads_.begin(), threads_.end(), waits);
  if (first == threads_.end()) return false;
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    const Thread& thread = threads_[i];
    if (waits(thread) && same(thread.site, first->site)) continue;
    const std::string got =
        waits(thread) ? text("one at ", text_of(thread.site)) : std::string("one that has returned");
    throw Fault{cudaErrorLaunchFailure,
                text(where(static_cast<int>(i)), ": expected every thread of the block at the barrier ",
                     text_of(first->site), ", got ", got)};
  }
  note_barrier(first->site);
  for (Thread& thread : threads_) thread.state = State::ready;
  barrier_clock_ = new_clock();
  return true;
}

/// Called when no lane of a warp can go on although some wait for others.
void KernelRun::explain_stuck_warp(int warp) {
  int waiting = 0;
  while (of_warp(warp, waiting).state != State::at_warp_operation) ++waiting;
  const Thread& waits = of_warp(warp, waiting);
  const std::string expected =
      text(": expected lanes ", std::hex, "0x", waits.mask, std::dec, " at ", text_of(waits.site), ", got lane ");
  for (int lane = 0; lane < warpSize; ++lane) {
    if ((waits.mask >> lane & 1U) == 0) continue;
    std::string got;
    if (lane >= lanes(warp)) {
      got = "that does not exist";
    } else if (const Thread& other = of_warp(warp, lane); other.state == State::returned) {
      got = "that has returned";
    } else if (!same(other.site, waits.site)) {
      got = text("at ", text_of(other.site));
    } else if (other.mask != waits.mask) {
      got = text("there with mask 0x", std::hex, other.mask);
    } else {
      continue;
    }
    throw Fault{cudaErrorLaunchFailure, text(where(warp * warpSize + waiting), expected, lane, " ", got)};
  }
  throw std::logic_error("[cuda_emulation] a warp operation that all lanes have reached was not released");
}

// --- On the fibers of the threads ---

GREENTRAINER_UNOBSERVED void KernelRun::wait(State state, Site site, Clock* clock) {
  Thread& thread = self();
  thread.state = state;
  thread.site = site;
  if (clock != nullptr) clock->release();
  thread.fiber.wait();
  if (clock != nullptr) clock->acquire();
}

void KernelRun::block_barrier(Site site) {
  Clock* clock = nullptr;
  {
    const Unobserved scope;
    if (removed(site)) return;
    clock = barrier_clock_;
  }
  wait(State::at_barrier, site, clock);
}

void KernelRun::warp_barrier(unsigned mask, Site site) {
  {
    const Unobserved scope;
    if (removed(site)) return;
  }
  if (!wait_for_warp(mask, site)) return;
  const Unobserved scope;
  note_barrier(site);
}

std::uint64_t KernelRun::exchange(unsigned mask, std::uint64_t value, int source, Site site) {
  if ((mask >> source & 1U) == 0) {
    blame(cudaErrorLaunchFailure, text("expected a value of a lane in mask 0x", std::hex, mask, std::dec, " at ",
                                       text_of(site), ", got lane ", source));
    abandon();
  }
  {
    const Unobserved scope;
    self().value = value;
    self().source = source;
  }
  wait_for_warp(mask, site);
  const Unobserved scope;
  return self().value;
}

/// Returns whether the calling lane was the last to come.
bool KernelRun::wait_for_warp(unsigned mask, Site site) {
  if ((mask >> lane() & 1U) == 0) {
    blame(cudaErrorLaunchFailure,
          text("expected a mask with lane ", lane(), " at ", text_of(site), ", got 0x", std::hex, mask));
    abandon();
  }
  Clock* clock = nullptr;
  bool last = false;
  {
    const Unobserved scope;
    std::vector<Meeting>& meetings = meetings_[static_cast<std::size_t>(running_ / warpSize)];
    auto meeting = std::find_if(meetings.begin(), meetings.end(),
                                [&](const Meeting& open) { return open.mask == mask && same(open.site, site); });
    if (meeting == meetings.end()) meeting = meetings.insert(meeting, {site, mask, 0, new_clock()});
    meeting->arrived |= 1U << lane();
    clock = meeting->clock;
    last = meeting->arrived == mask;
    self().mask = mask;
    self().state = State::at_warp_operation;
    if (last) {
      meetings.erase(meeting);
      release_warp(mask);
    }
  }
  wait(self().state, site, clock);
  return last;
}

/// The last lane of a warp operation has arrived, and runs.
void KernelRun::release_warp(unsigned mask) {
  const int warp = running_ / warpSize;
  std::uint64_t values[warpSize];
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    values[lane] = of_warp(warp, of_warp(warp, lane).source).value;
  }
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    of_warp(warp, lane).value = values[lane];
    of_warp(warp, lane).state = State::ready;
  }
}

void* KernelRun::shared_memory(const void* identity, const char* name, std::size_t bytes) {
  void* memory = nullptr;
  std::size_t all = 0;
  {
    const Unobserved scope;
    memory = shared_.array(identity, name, bytes);
    all = shared_.static_bytes();
  }
  if (all + launch_.dynamic_shared > launch_.shared_limit) {
    blame(cudaErrorInvalidValue, text("expected at most ", launch_.shared_limit, " bytes of shared memory, got ", all,
                                      " static and ", launch_.dynamic_shared, " dynamic ones"));
    abandon();
  }
  return memory;
}

void KernelRun::blame(cudaError_t code, const std::string& what) {
  const Unobserved scope;
  in_kernel_ = false;
  const std::string passed = self().site.line() == 0 ? "" : text("; it was last at ", text_of(self().site));
  fault_ = Fault{code, text(where(running_), ": ", what, passed)};
}

std::string KernelRun::describe(const void* address) const {
  return stacks_.in_guard(address) ? text("behind the ", Stacks::bytes, " bytes of its stack")
                                   : shared_.describe(address);
}

Clock* KernelRun::new_clock() {
  if (!thread_sanitizer) return nullptr;
  return &clocks_.emplace_back();
}

bool KernelRun::removed(const Site& site) const {
  if (without_barrier_.empty()) return false;
  return text_of(site) == without_barrier_;
}

void KernelRun::note_barrier(const Site& site) {
  if (std::none_of(barriers_.begin(), barriers_.end(), [&](const Site& noted) { return same(noted, site); }))
    barriers_.push_back(site);
}

std::string KernelRun::where(int thread) const {
  return text("[", launch_.kernel, "] ", index_text("block", blockIdx), ", ",
              index_text("thread", threads_[static_cast<std::size_t>(thread)].index));
}

int KernelRun::lanes(int warp) const { return std::min(warpSize, static_cast<int>(threads_.size()) - warp * warpSize); }

}  // namespace greentrainer::cuda_emulation
