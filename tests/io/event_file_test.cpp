// Numbers for TensorBoard: records as TensorFlow frames them, whose sums are right, and events that read back.

#include "greentrainer/io/event_file.hpp"

#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

struct Event {
  std::uint64_t step = 0;
  std::string version;
  bool session_starts = false;
  std::vector<std::pair<std::string, float>> scalars;
};

/// A reader of protocol buffers that knows no more than tensorflow/core/util/event.proto says.
struct Message {
  std::string_view bytes;

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 127U) << shift;
      if (byte < 128) return value;
    }
  }
  std::string_view take(std::size_t count) {
    const auto taken = bytes.substr(0, count);
    bytes.remove_prefix(count);
    return taken;
  }
};

template <class T>
T number(std::string_view bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

Event event_of(std::string_view bytes) {
  Event event;
  Message message{bytes};
  while (!message.bytes.empty()) {
    const auto key = message.varint();
    if (key == (1U << 3U | 1U)) {
      CHECK(number<double>(message.take(8)) > 1.6e9);  // seconds since 1970
    } else if (key == (2U << 3U)) {
      event.step = message.varint();
    } else if (key == (3U << 3U | 2U)) {
      event.version = message.take(message.varint());
    } else if (key == (7U << 3U | 2U)) {
      event.session_starts = message.take(message.varint()) == "\x08\x01";
    } else {
      REQUIRE(key == (5U << 3U | 2U));
      Message summary{message.take(message.varint())};
      while (!summary.bytes.empty()) {
        REQUIRE(summary.varint() == (1U << 3U | 2U));
        Message value{summary.take(summary.varint())};
        REQUIRE(value.varint() == (1U << 3U | 2U));
        const std::string tag(value.take(value.varint()));
        REQUIRE(value.varint() == (2U << 3U | 5U));
        event.scalars.emplace_back(tag, number<float>(value.take(4)));
        CHECK(value.bytes.empty());
      }
    }
  }
  return event;
}

std::vector<Event> events_in(const std::string& file) {
  std::vector<Event> events;
  for (std::string_view rest = file; !rest.empty();) {
    const auto length = number<std::uint64_t>(rest);
    REQUIRE(rest.size() >= length + 16);
    const std::string_view bytes = rest.substr(12, length);
    CHECK(EventFile::record(bytes) == rest.substr(0, length + 16));
    events.push_back(event_of(bytes));
    rest.remove_prefix(length + 16);
  }
  return events;
}

}  // namespace

TEST_CASE("sums are CRC-32C, and an event file begins as TensorFlow's do") {
  CHECK(crc32c("123456789") == 0xE3069283U);              // the check value of the sum's definition
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAU);    // RFC 3720, B.4
  CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43U);  // likewise
  const TemporaryFolder folder;
  const EventFile file(folder / "runs/one", 0);
  const std::string bytes = read_file(file.path());
  // Length 24 and its masked sum, as in every file that TensorFlow writes.
  CHECK(bytes.substr(0, 12) == std::string("\x18\0\0\0\0\0\0\0\xA3\x7F\x4B\x22", 12));
  CHECK(bytes.substr(21, 15) ==
        "\x1A\x0D"
        "brain.Event:2");
}

TEST_CASE("what is written reads back, and a file of a run that goes on begins a session at its step") {
  const TemporaryFolder folder;
  EventFile first(folder.path(), 0), second(folder.path(), 300);
  CHECK(first.path() != second.path());
  const std::vector<EventFile::Scalar> both = {{"training/loss", 1.5}, {"training/rate", 1e-40}},
                                       large = {{"flops", 1e40}};
  first.write(1, both);
  first.write(70000, large);
  second.write(301, both);
  const auto events = events_in(read_file(first.path()));
  REQUIRE(events.size() == 4);
  CHECK(events[0].version == "brain.Event:2");
  CHECK(events[1].session_starts);
  CHECK(events[1].step == 0);
  CHECK(events[2].step == 1);
  REQUIRE(events[2].scalars.size() == 2);
  CHECK(events[2].scalars[0] == std::pair<std::string, float>("training/loss", 1.5F));
  CHECK(events[2].scalars[1].second == 1e-40F);
  CHECK(events[3].step == 70000);
  CHECK(events[3].scalars[0].second == std::numeric_limits<float>::infinity());
  const auto more = events_in(read_file(second.path()));
  REQUIRE(more.size() == 3);
  CHECK(more[1].session_starts);
  CHECK(more[1].step == 300);
  CHECK(more[2].step == 301);
}

TEST_CASE("a folder that cannot be made is an error that names the file") {
  const TemporaryFolder folder;
  folder.write("file", "x");
  CHECK(has(error_of<SaveError>([&] { EventFile(folder / "file/sub", 0); }), "events.out.tfevents."));
}
