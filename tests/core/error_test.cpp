#include "greentrainer/core/error.hpp"

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

#include <doctest/doctest.h>

namespace gt = greentrainer;

TEST_CASE("an error's parts are its text's, and readable apart") {
  const gt::ShapeError error("load_safetensors", "model.norm.weight", "expected shape (8), got (4)");
  CHECK(std::string_view(error.what()) == "[load_safetensors] model.norm.weight: expected shape (8), got (4)");
  CHECK(error.where() == "load_safetensors");
  CHECK(error.subject() == "model.norm.weight");
  CHECK(error.detail() == "expected shape (8), got (4)");
  CHECK(error.message() == "model.norm.weight: expected shape (8), got (4)");
}

TEST_CASE("a subject that holds a colon, or brackets, stays whole") {
  const gt::LoadError error("read", "C:\\a] b: c", "expected a file: got none");
  CHECK(error.subject() == "C:\\a] b: c");
  CHECK(error.detail() == "expected a file: got none");
}

TEST_CASE("an error without a subject is its detail") {
  const gt::UsageError error("finetune", "", "expected a model");
  CHECK(std::string_view(error.what()) == "[finetune] expected a model");
  CHECK(error.subject().empty());
  CHECK(error.detail() == "expected a model");
  CHECK(error.message() == "expected a model");
}

TEST_CASE("a copied error keeps its parts, and copying never throws") {
  static_assert(std::is_nothrow_copy_constructible_v<gt::Error>);
  const auto copy = [] { return gt::Error(gt::DataError("data", "row 3", "expected a text")); }();
  CHECK(copy.where() == "data");
  CHECK(copy.subject() == "row 3");
  CHECK(copy.detail() == "expected a text");
}

TEST_CASE("subjects and details of megabytes are cut in the middle, between characters") {
  std::string umlauts = "x";
  for (int i = 0; i < 1'000'000; ++i) umlauts += "\u00FC";
  const gt::LoadError error("read", umlauts, umlauts + '!');
  CHECK(std::string_view(error.what()).size() < 2100);
  for (const auto part : {error.subject(), error.detail()}) {
    CHECK(part.starts_with("x\u00FC"));
    const auto gap = part.find(" ... ");
    REQUIRE(gap != std::string_view::npos);
    CHECK(gap % 2 == 1);  // x, and whole characters of two bytes
    CHECK((static_cast<unsigned char>(part[gap + 5]) & 0xC0U) == 0xC0U);
  }
  CHECK(error.detail().ends_with("\u00FC!"));
}

TEST_CASE("a zero byte of a file's name hides no part of a message") {
  using namespace std::string_view_literals;
  const gt::LoadError error("read", "a\0b"sv, "expected \0, got 1"sv);
  CHECK(error.subject() == "a\\0b");
  CHECK(error.detail() == "expected \\0, got 1");
}

TEST_CASE("text writes numbers as a message shows them") {
  CHECK(gt::text("a", 'b', std::string("c"), std::string_view("d")) == "abcd");
  CHECK(gt::text(-1, ' ', std::numeric_limits<std::size_t>::max()) == "-1 18446744073709551615");
  CHECK(gt::text(0.1, ' ', 0.5F, ' ', 1e-9, ' ', 1234567.0, ' ', 100000.0, ' ', 0.0) ==
        "0.1 0.5 1e-09 1.23457e+06 100000 0");
  CHECK(gt::text(std::numeric_limits<double>::infinity(), ' ', -std::numeric_limits<double>::max()) ==
        "inf -1.79769e+308");
  CHECK(gt::text(true, ' ', false) == "true false");
  CHECK(gt::text(static_cast<const void*>(nullptr)) == "0x0");
  CHECK(gt::text(std::filesystem::path("a") / "b c") == "a/b c");
}
