#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/evp.h>

#include "greentrainer/io/file.hpp"

namespace greentrainer {

/// SHA-256 of FIPS 180-4, over bytes that come in pieces. By OpenSSL's libcrypto, which takes the processor's own
/// instructions where it has them. Throws Error if libcrypto fails, which it does when memory runs out.
class Sha256 {
 public:
  Sha256() {
    expect(context_ != nullptr);
    expect(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }

  void update(std::span<const std::byte> bytes) {
    expect(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }
  void update(std::string_view bytes) { update(std::as_bytes(std::span(bytes))); }

  /// The digest of all bytes so far as 64 hexadecimal digits. Nothing may follow.
  std::string finish() {
    std::array<unsigned char, 32> digest{};
    expect(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1);
    std::string digits;
    for (const unsigned byte : digest) {
      digits += "0123456789abcdef"[byte >> 4];
      digits += "0123456789abcdef"[byte & 15U];
    }
    return digits;
  }

 private:
  static void expect(bool done) {
    if (!done) throw Error("Sha256", "libcrypto", "expected a digest, got a refusal");
  }

  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_{EVP_MD_CTX_new()};
};

/// SHA-256 of a file that may be larger than memory. Throws LoadError if it cannot be read.
inline std::string sha256_of_file(const std::filesystem::path& path) {
  const auto file = detail::open_for_reading("sha256_of_file", path, FileKind::regular);
  Sha256 sum;
  std::vector<std::byte> buffer(std::size_t{1} << 18);
  while (true) {
    const auto got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw LoadError("sha256_of_file", path.string(), text("expected to read on, got \"", detail::errno_text(), "\""));
    if (got == 0) return sum.finish();
    sum.update(std::span(buffer).first(static_cast<std::size_t>(got)));
  }
}

}  // namespace greentrainer
