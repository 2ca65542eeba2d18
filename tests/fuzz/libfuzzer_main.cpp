// The entry of libFuzzer, for one target: compiled by scripts/fuzz.sh with its header and its name.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include GREENTRAINER_FUZZ_HEADER

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  greentrainer::fuzz::accepts(greentrainer::fuzz::GREENTRAINER_FUZZ_TARGET, input);
  return 0;
}
