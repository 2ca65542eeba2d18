#include "cuda_emulation/source/signal_handlers.hpp"

#include <cstddef>
#include <cstdint>
#include <ucontext.h>

#include "cuda_emulation/source/runtime.hpp"

namespace greentrainer::cuda_emulation {

namespace {

// What the machine refused last.
int refused_signal = 0;
int refused_code = 0;
const void* refused_address = nullptr;

alignas(16) std::byte handler_stack[64 << 10];

void blame_refusal(KernelRun& run) {
  if (refused_signal == SIGILL) {
    run.blame(cudaErrorMisalignedAddress, "expected an address aligned as its type demands, got another");
  } else if (refused_code == SI_KERNEL) {  // the machine did not get as far as an address
    run.blame(cudaErrorIllegalAddress,
              "expected the address of memory, got one that no memory can have, or a vector that is not aligned");
  } else {
    const std::string shared = run.describe(refused_address);
    run.blame(cudaErrorIllegalAddress, text("expected an access to device or shared memory, got one to ",
                                            shared.empty() ? Runtime::instance().describe(refused_address) : shared));
  }
}

/// On the thread of the kernel, where it goes on instead.
void end_kernel() {
  KernelRun& run = *KernelRun::active();
  blame_refusal(run);
  run.abandon();
}

/// Makes the thread that the signal interrupted go on with a function on an empty stack.
void go_on_with(void (*function)(), std::byte* stack, ucontext_t& context) {
#if defined(__x86_64__)
  // As if the function had been called: aligned to 16 bytes before a return address was pushed.
  context.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(function));
  context.uc_mcontext.gregs[REG_RSP] =
      static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(stack) - 16 - sizeof(void*));
#elif defined(__aarch64__)
  context.uc_mcontext.pc = reinterpret_cast<std::uintptr_t>(function);
  context.uc_mcontext.sp = reinterpret_cast<std::uintptr_t>(stack) - 16;
#else
#error "the CUDA emulation knows x86-64 and AArch64; add where this machine's signal frames keep program counter and "
  "stack pointer"
#endif
}

void on_signal(int signal, siginfo_t* information, void* context) {
  if (KernelRun* run = KernelRun::active(); run != nullptr && run->in_kernel()) {
    refused_signal = signal;
    refused_code = information->si_code;
    refused_address = information->si_addr;
    go_on_with(&end_kernel, run->empty_stack(), *static_cast<ucontext_t*>(context));
  } else if (signal != SIGSEGV || !Runtime::instance().note_host_access(information->si_addr)) {
    std::signal(signal, SIG_DFL);  // not ours: let it happen again
  }
}

}  // namespace

SignalHandlers::SignalHandlers() {
  stack_t stack{};
  stack.ss_sp = handler_stack;
  stack.ss_size = sizeof handler_stack;
  sigaltstack(&stack, &stack_before_);
  struct sigaction action {};
  action.sa_sigaction = &on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &action, &before_[i]);
}

SignalHandlers::~SignalHandlers() {
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &before_[i], nullptr);
  sigaltstack(&stack_before_, nullptr);
}

}  // namespace greentrainer::cuda_emulation
