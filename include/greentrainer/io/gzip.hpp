#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <zlib.h>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Whether bytes begin as those of a gzip file.
inline bool is_gzip(std::string_view bytes) { return bytes.starts_with("\x1F\x8B"); }

/// What a gzip file holds: of all its members, one behind the other. Throws LoadError naming `subject` for one that is
/// damaged, cut short or followed by something else, and for more than `limit` bytes: a file of a few kilobytes can
/// stand for gigabytes.
inline std::string decompress_gzip(std::string_view bytes, Bytes limit, std::string_view subject) {
  const auto fail = [&](const auto&... detail) { throw LoadError("decompress_gzip", subject, text(detail...)); };
  struct Inflater {
    z_stream stream{};
    bool begun = false;
    ~Inflater() {
      if (begun) ::inflateEnd(&stream);
    }
  } inflater;
  z_stream& stream = inflater.stream;
  constexpr int gzip_alone = 16;  // added to the size of the window: no other header is taken
  inflater.begun = ::inflateInit2(&stream, gzip_alone + MAX_WBITS) == Z_OK;
  if (!inflater.begun) fail("expected memory to decompress it in, got none");
  constexpr std::size_t piece = std::size_t{1} << 18;  // zlib counts in 32 bits
  std::string contents, buffer(piece, '\0');
  int state = Z_OK;
  while (!bytes.empty() || state == Z_OK) {
    if (state == Z_STREAM_END) {  // another member
      if (!is_gzip(bytes)) fail("expected a gzip file alone, got ", bytes.size(), " bytes more behind its end");
      ::inflateReset(&stream);
    }
    const std::string_view in = bytes.substr(0, piece);
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));  // zlib only reads it
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    state = ::inflate(&stream, Z_NO_FLUSH);
    if (state == Z_BUF_ERROR && in.empty()) fail("expected a whole gzip file, got one that is cut short");
    if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
      fail("expected a gzip file, got a damaged one (", stream.msg != nullptr ? stream.msg : "unknown", ")");
    if (state == Z_BUF_ERROR) state = Z_OK;
    bytes.remove_prefix(in.size() - stream.avail_in);
    contents.append(buffer, 0, buffer.size() - stream.avail_out);
    if (static_cast<Bytes>(contents.size()) > limit)
      fail("expected at most ", limit, " bytes when decompressed, got more; is this the right file?");
  }
  return contents;
}

}  // namespace greentrainer
