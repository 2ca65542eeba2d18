#pragma once

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"
#include "greentrainer/io/file.hpp"

namespace greentrainer {

/// CRC-32C (Castagnoli) of bytes.
inline std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1U) != 0 ? 0x82F63B78U : 0U);
      entries[i] = value;
    }
    return entries;
  }();
  std::uint32_t sum = 0xFFFFFFFFU;
  for (const char c : bytes) sum = table[(sum ^ static_cast<unsigned char>(c)) & 0xFFU] ^ (sum >> 8);
  return ~sum;
}

/// Numbers of a run as TensorBoard reads them: a file of records of tensorflow.Event, appended one by one, so that a
/// curve is there while the run goes on. A run that goes on writes a file of its own, whose first record takes back
/// what an earlier one said of later steps.
class EventFile {
 public:
  struct Scalar {
    std::string tag;
    double value;  ///< kept as float
  };

  /// Makes a file in `folder`, which is created. `first_step`: those before are of earlier files. Throws SaveError.
  EventFile(const std::filesystem::path& folder, Extent first_step) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    const auto seconds = static_cast<std::int64_t>(wall_time());
    for (int i = 0; !file_; ++i) {
      path_ = folder / text("events.out.tfevents.", seconds, ".greentrainer.", ::getpid(), '.', i);
      constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC;
      file_ = detail::FileDescriptor(detail::uninterrupted([&] { return ::open(path_.c_str(), flags, 0666); }));
      if (!file_ && errno != EEXIST) fail("expected to create it");
    }
    write(bytes_field(3, "brain.Event:2"), 0);
    write(bytes_field(7, integer_field(1, 1)), first_step);  // a session that starts
  }

  const std::filesystem::path& path() const { return path_; }

  /// Appends numbers after so many steps. Throws SaveError.
  void write(Extent step, std::span<const Scalar> scalars) {
    std::string summary;
    for (const Scalar& scalar : scalars) {
      constexpr double most = std::numeric_limits<float>::max();
      const float value = std::abs(scalar.value) <= most ? static_cast<float>(scalar.value)
                          : std::isnan(scalar.value)
                              ? std::numeric_limits<float>::quiet_NaN()
                              : std::copysign(std::numeric_limits<float>::infinity(), scalar.value < 0 ? -1.0F : 1.0F);
      const auto bits = std::bit_cast<std::uint32_t>(value);
      summary += bytes_field(1, bytes_field(1, scalar.tag) + key(2, 5) + little_endian(bits));
    }
    write(bytes_field(5, summary), step);
  }

  /// A record: length, its masked sum, bytes, their masked sum.
  static std::string record(std::string_view bytes) {
    const std::string length = little_endian(static_cast<std::uint64_t>(bytes.size()));
    return length + little_endian(masked(crc32c(length))) + std::string(bytes) + little_endian(masked(crc32c(bytes)));
  }

 private:
  static std::uint32_t masked(std::uint32_t sum) { return ((sum >> 15) | (sum << 17)) + 0xA282EAD8U; }
  static double wall_time() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  }

  template <class T>
  static std::string little_endian(T number) {
    std::string bytes;
    for (std::size_t i = 0; i < sizeof number; ++i) bytes += static_cast<char>(number >> (8 * i) & 0xFFU);
    return bytes;
  }
  static std::string varint(std::uint64_t number) {
    std::string bytes;
    for (; number >= 128; number >>= 7) bytes += static_cast<char>(number | 128U);
    return bytes + static_cast<char>(number);
  }
  static std::string key(unsigned field, unsigned kind) { return varint(field << 3U | kind); }
  static std::string integer_field(unsigned field, Extent value) {
    return key(field, 0) + varint(static_cast<std::uint64_t>(value));
  }
  static std::string bytes_field(unsigned field, std::string_view bytes) {
    return key(field, 2) + varint(bytes.size()) + std::string(bytes);
  }

  /// One event, in one call, so that none is there in part unless the disk is full.
  void write(const std::string& what, Extent step) {
    const std::string time = key(1, 1) + little_endian(std::bit_cast<std::uint64_t>(wall_time()));
    const std::string bytes = record(time + (step == 0 ? "" : integer_field(2, step)) + what);
    std::string_view left = bytes;
    while (!left.empty()) {
      const auto written = ::write(file_.get(), left.data(), left.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail("expected to write on");
      left.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  [[noreturn]] void fail(std::string_view expected) const {
    throw SaveError("EventFile", path_.string(), text(expected, ", got \"", detail::errno_text(), "\""));
  }

  std::filesystem::path path_;
  detail::FileDescriptor file_;
};

}  // namespace greentrainer
