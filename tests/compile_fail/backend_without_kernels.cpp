// expect: MemoryAlone
// expect: BackendKernels
#include <greentrainer/concepts/backend.hpp>

struct MemoryAlone {
  using Scalar = float;
  void* allocate(greentrainer::Bytes);
  void deallocate(void*, greentrainer::Bytes) noexcept;
  void copy_from_host(void*, const void*, greentrainer::Bytes);
  void copy_to_host(void*, const void*, greentrainer::Bytes);
  void copy(void*, const void*, greentrainer::Bytes);
  void zero(void*, greentrainer::Bytes);
  void synchronize();
  const char* name() const;
};

#ifdef CONTROL
static_assert(greentrainer::BackendMemory<MemoryAlone>);
#else
template <greentrainer::Backend B>
void train(B&) {}

void program(MemoryAlone& backend) { train(backend); }
#endif
