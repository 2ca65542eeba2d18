#include "cuda_emulation/source/fiber.hpp"

#include <cstdint>
#include <new>
#include <sys/mman.h>

namespace greentrainer::cuda_emulation {

using boost::context::detail::transfer_t;

namespace {

// The stack that fibers are resumed from, as AddressSanitizer knows it.
const void* resumer_stack = nullptr;
std::size_t resumer_bytes = 0;

void* map(void* at, std::size_t bytes, int flags) {
  void* mapping = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  return mapping;
}

}  // namespace

Stacks::Stacks(int count)
    : count_(count), mapping_(static_cast<std::byte*>(map(nullptr, static_cast<std::size_t>(count) * pitch, 0))) {
  forbid_guards();
}

Stacks::~Stacks() {
  const std::size_t all = static_cast<std::size_t>(count_) * pitch;
  allow(mapping_, all);
  munmap(mapping_, all);
}

void Stacks::forbid_guards() const {
  for (int i = 0; i < count_; ++i) mprotect(begin(i) - guard, guard, PROT_NONE);
}

bool Stacks::in_guard(const void* address) const {
  const auto at = reinterpret_cast<std::uintptr_t>(address), first = reinterpret_cast<std::uintptr_t>(mapping_);
  return at >= first && at < first + static_cast<std::size_t>(count_) * pitch && (at - first) % pitch < guard;
}

void Stacks::renew() {
  if (!thread_sanitizer) return;
  map(mapping_, static_cast<std::size_t>(count_) * pitch, MAP_FIXED);  // a new mapping has no history
  forbid_guards();
}

void Stacks::forget() const { allow(mapping_, static_cast<std::size_t>(count_) * pitch); }

void Fiber::prepare(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  ended_ = false;
  // Tops of stacks a power of two apart would all compete for the same lines of the cache.
  const std::size_t colour = static_cast<std::size_t>(number_ % 32) * 128;
  here_ = boost::context::detail::make_fcontext(stack_ + Stacks::bytes - colour, Stacks::bytes - colour, &begin);
  actor_.emplace();
}

void Fiber::resume() {
  void* kept = nullptr;
  leave_stack(&kept, stack_, Stacks::bytes);
  actor_->enter();
  const transfer_t back = boost::context::detail::jump_fcontext(here_, this);
  enter_stack(kept, nullptr, nullptr);
  here_ = back.fctx;
  if (ended_) actor_.reset();
}

GREENTRAINER_UNOBSERVED void Fiber::begin(transfer_t from) {
  Fiber& self = *static_cast<Fiber*>(from.data);
  enter_stack(nullptr, &resumer_stack, &resumer_bytes);
  self.resumer_ = from.fctx;
  self.entry_(self.argument_);
  self.ended_ = true;
  leave_stack(nullptr, resumer_stack, resumer_bytes);
  self.actor_->leave();
  boost::context::detail::jump_fcontext(self.resumer_, nullptr);
}

GREENTRAINER_UNOBSERVED void Fiber::wait() {
  leave_stack(&kept_, resumer_stack, resumer_bytes);
  actor_->leave();
  const transfer_t from = boost::context::detail::jump_fcontext(resumer_, nullptr);
  enter_stack(kept_, nullptr, nullptr);
  resumer_ = from.fctx;
}

std::byte* Fiber::empty_stack() {
  allow(stack_, Stacks::bytes);
  return stack_ + Stacks::bytes;
}

}  // namespace greentrainer::cuda_emulation
