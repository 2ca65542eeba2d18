#include "greentrainer/io/base64.hpp"

#include <doctest/doctest.h>

using namespace greentrainer;

TEST_CASE("base64 decodes the test vectors of RFC 4648") {
  CHECK(decode_base64("") == "");
  CHECK(decode_base64("Zg==") == "f");
  CHECK(decode_base64("Zm8=") == "fo");
  CHECK(decode_base64("Zm9v") == "foo");
  CHECK(decode_base64("Zm9vYg==") == "foob");
  CHECK(decode_base64("Zm9vYmE=") == "fooba");
  CHECK(decode_base64("Zm9vYmFy") == "foobar");
  CHECK(decode_base64("+/+/") == "\xFB\xFF\xBF");
}

TEST_CASE("text that is not base64 decodes to nothing") {
  for (const char* text :
       {"Z", "Zg", "Zg=", "Zg===", "=Zg=", "Zm9v\n", "Zm-v", "Zm_v", "Zh==", "Zm9=", "====", "Z===", "Zg==Zg=="}) {
    CAPTURE(text);
    CHECK_FALSE(decode_base64(text).has_value());
  }
}
