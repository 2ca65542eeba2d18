#include "greentrainer/io/sha256.hpp"

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

std::string sha256(std::string_view bytes) {
  Sha256 sum;
  sum.update(bytes);
  return sum.finish();
}

}  // namespace

TEST_CASE("SHA-256 gives the digests of NIST's examples") {
  // FIPS 180-2, appendix B, and the empty message of NIST's validation suite (SHA256ShortMsg).
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrs"
               "tnopqrstu") == "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  CHECK(sha256(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("a digest does not depend on how its bytes are cut") {
  const std::string bytes(1000, 'a');
  for (std::size_t piece = 1; piece < 130; ++piece) {
    Sha256 sum;
    for (std::size_t i = 0; i < bytes.size(); i += piece) sum.update(std::string_view(bytes).substr(i, piece));
    CHECK(sum.finish() == sha256(bytes));
  }
}

TEST_CASE("a file's digest is that of its bytes; one that is not there is named") {
  const TemporaryFolder folder;
  const std::string bytes(600'000, 'x');
  CHECK(sha256_of_file(folder.write("a", bytes)) == sha256(bytes));
  CHECK(has(error_of<LoadError>([&] { sha256_of_file(folder / "absent"); }), "absent"));
}
