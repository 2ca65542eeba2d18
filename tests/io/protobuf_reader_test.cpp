#include "greentrainer/io/protobuf_reader.hpp"

#include <string>

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("the fields of a message, in order; a repeated field comes again") {
  // Field 1: 150 (the example of protobuf.dev), field 2: "testing", field 3: -1 as int32, field 4: 1.0f, field 5: 64
  // bits, field 1 again.
  const std::string bytes(
      "\x08\x96\x01\x12\x07testing\x18\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x25\x00\x00\x80\x3F\x29\x01\x02\x03\x04"
      "\x05\x06\x07\x08\x08\x01",
      39);
  ProtobufReader message(bytes, "file");
  REQUIRE(message.next());
  CHECK(message.number() == 1);
  CHECK(message.int32("first") == 150);
  REQUIRE(message.next());
  CHECK(message.number() == 2);
  CHECK(message.bytes("second") == "testing");
  REQUIRE(message.next());
  CHECK(message.int32("third") == -1);
  REQUIRE(message.next());
  CHECK(message.float32("fourth") == 1.0F);
  REQUIRE(message.next());
  CHECK(message.number() == 5);
  REQUIRE(message.next());
  CHECK(message.number() == 1);
  CHECK(message.boolean("first"));
  CHECK_FALSE(message.next());
  CHECK_FALSE(message.next());
}

TEST_CASE("a message within a message ends where it ends") {
  const std::string bytes("\x0A\x02\x08\x05\x08\x06", 6);
  ProtobufReader outer(bytes, "file");
  REQUIRE(outer.next());
  auto inner = outer.message("inner");
  REQUIRE(inner.next());
  CHECK(inner.int32("value") == 5);
  CHECK_FALSE(inner.next());
  REQUIRE(outer.next());
  CHECK(outer.int32("value") == 6);
}

TEST_CASE("errors name the file, the message and the byte of the file") {
  const std::string bytes("\x08\x01\x0A\x03\x08\x80\x80", 7);  // the inner message's number is cut off
  ProtobufReader outer(bytes, "file");
  REQUIRE(outer.next());
  REQUIRE(outer.next());
  auto inner = outer.message("inner");
  const auto error = error_of<LoadError>([&] { inner.next(); });
  CHECK(has(error, "file, inner, before byte 7: expected more of a number"));
  CHECK(has(error_of<LoadError>([&] { outer.float32("score"); }), "score: expected a 32-bit float, got wire type 2"));
}
