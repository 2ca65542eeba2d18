#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include "greentrainer/backends/cuda/device.hpp"

namespace greentrainer::cuda {

/// Pinned host memory that copies between host and device go through, so that an upload does not wait for the device:
/// the caller's bytes are taken at once, and a chunk is used again when the copies out of it are done. Chunks come to
/// life when they are first needed.
class Staging {
 public:
  explicit Staging(Stream stream) : stream_(stream) {}
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  /// The stream is idle by then.
  ~Staging() {
    for (const Chunk& chunk : chunks_) {
      if (chunk.done != nullptr) cudaEventDestroy(chunk.done);
      if (chunk.host != nullptr) cudaFreeHost(chunk.host);
    }
  }

  void upload(char* to, const char* from, Bytes bytes) {
    while (bytes > 0) {
      if (used_ == chunk_bytes) next_chunk();
      const Bytes count = std::min(bytes, chunk_bytes - used_);
      char* const place = ready(current_).host + used_;
      std::memcpy(place, from, static_cast<std::size_t>(count));
      GREENTRAINER_CUDA_CHECK(
          cudaMemcpyAsync(to, place, static_cast<std::size_t>(count), cudaMemcpyHostToDevice, stream_));
      used_ = std::min(chunk_bytes, (used_ + count + 63) / 64 * 64);
      from += count;
      to += count;
      bytes -= count;
    }
  }

  /// Returns when all bytes are there. The device writes the next chunk while the host empties one; uploads out of the
  /// same chunks come before on the stream, so nothing has to be waited for at first.
  void download(char* to, const char* from, Bytes bytes) {
    if (bytes == 0) return;  // nothing is waited for
    Bytes received = 0;
    std::size_t sent_chunk = 0, received_chunk = 0;
    for (Bytes sent = 0; received < bytes;) {
      if (sent < bytes && sent - received < 2 * chunk_bytes) {
        const Bytes count = std::min(bytes - sent, chunk_bytes);
        Chunk& chunk = ready(sent_chunk);
        GREENTRAINER_CUDA_CHECK(
            cudaMemcpyAsync(chunk.host, from + sent, static_cast<std::size_t>(count), cudaMemcpyDeviceToHost, stream_));
        GREENTRAINER_CUDA_CHECK(cudaEventRecord(chunk.done, stream_));
        sent += count;
        sent_chunk = 1 - sent_chunk;
      } else {
        const Bytes count = std::min(bytes - received, chunk_bytes);
        const Chunk& chunk = ready(received_chunk);
        GREENTRAINER_CUDA_CHECK(cudaEventSynchronize(chunk.done));
        std::memcpy(to + received, chunk.host, static_cast<std::size_t>(count));
        received += count;
        received_chunk = 1 - received_chunk;
      }
    }
    // Whatever was uploaded before has arrived, too.
    for (Chunk& chunk : chunks_) chunk.pending = false;
    used_ = 0;
  }

 private:
  struct Chunk {
    char* host = nullptr;
    cudaEvent_t done = nullptr;
    bool pending = false;  ///< whether `done` marks uploads that may still read it
  };
  static constexpr Bytes chunk_bytes = Bytes{2} << 20;

  Chunk& ready(std::size_t i) {
    Chunk& chunk = chunks_[i];
    if (chunk.host == nullptr) {
      void* memory = nullptr;
      GREENTRAINER_CUDA_CHECK(cudaMallocHost(&memory, static_cast<std::size_t>(chunk_bytes)));
      chunk.host = static_cast<char*>(memory);
      GREENTRAINER_CUDA_CHECK(cudaEventCreateWithFlags(&chunk.done, cudaEventDisableTiming));
    }
    return chunk;
  }

  void next_chunk() {
    Chunk& full = chunks_[current_];
    GREENTRAINER_CUDA_CHECK(cudaEventRecord(full.done, stream_));
    full.pending = true;
    current_ = (current_ + 1) % chunks_.size();
    used_ = 0;
    Chunk& next = chunks_[current_];
    if (next.pending) GREENTRAINER_CUDA_CHECK(cudaEventSynchronize(next.done));
    next.pending = false;
  }

  Stream stream_;
  std::array<Chunk, 4> chunks_;
  std::size_t current_ = 0;
  Bytes used_ = 0;  ///< of the current chunk
};

}  // namespace greentrainer::cuda
