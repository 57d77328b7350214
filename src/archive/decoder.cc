#include "archive/decoder.h"

#include <algorithm>

#include "archive/crc32.h"
#include "util/error.h"

namespace skopsfs::archive {
using util::Error;

Decoder::Decoder(std::shared_ptr<const zip::ByteSource> source, const Extent& extent,
                 size_t source_bytes)
    : source_(std::move(source)),
      extent_(extent),
      memory_bytes_(sizeof(*this) + kMostKept + DecodeStreamMemory(*source_, extent) +
                    source_bytes) {}

void Decoder::Restart() {
  stream_.reset();
  kept_.clear();
  kept_.reserve(kMostKept);
  position_ = 0;
  crc32_ = 0;
  stream_ = OpenDecodeStream(*source_, extent_);
}

std::span<const std::byte> Decoder::DecodeChunk() {
  if (kept_.size() > 2 * kKept) kept_.erase(kept_.begin(), kept_.end() - kKept);
  const size_t before = kept_.size();
  const auto wanted = static_cast<size_t>(std::min<uint64_t>(kChunk, extent_.size - position_));
  kept_.resize(before + wanted);
  const auto chunk = std::span(kept_).subspan(before);
  if (stream_->Read(chunk) != wanted) throw Error(EIO, "decodes to less than its size");
  crc32_ = Crc32(crc32_, chunk);
  position_ += wanted;
  if (position_ == extent_.size && crc32_ != extent_.crc32) throw Error(EIO, "bad CRC-32");
  return chunk;
}

void Decoder::Read(uint64_t offset, std::span<std::byte> out) {
  const std::lock_guard lock(mutex_);
  try {
    if (!stream_ || offset < position_ - kept_.size()) Restart();
    const uint64_t end = offset + out.size();
    while (position_ < end) {
      // What was asked for must not fall out of the kept bytes while the rest is decoded.
      if (position_ >= offset + kKept) break;
      DecodeChunk();
    }
    const uint64_t kept_start = position_ - kept_.size();
    const size_t ready = static_cast<size_t>(std::min(end, position_) - offset);
    std::copy_n(kept_.begin() + static_cast<ptrdiff_t>(offset - kept_start), ready, out.begin());
    size_t done = ready;
    while (done < out.size()) {
      const auto chunk = DecodeChunk();
      const size_t count = std::min(chunk.size(), out.size() - done);
      std::copy_n(chunk.begin(), count, out.begin() + static_cast<ptrdiff_t>(done));
      done += count;
    }
  } catch (...) {
    stream_.reset();  // the next read starts over, and fails the same way
    throw;
  }
}

}  // namespace skopsfs::archive
