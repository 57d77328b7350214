#include "archive/decoder.h"

#include <algorithm>

#include "archive/crc32.h"
#include "util/error.h"
#include "util/progress.h"

namespace skopsfs::archive {
namespace {

using util::Error;

uint64_t SpanOf(uint64_t size) {
  uint64_t span = Decoder::kSpan;
  while (size / span > Decoder::kMostCheckpoints) span *= 2;
  return span;
}

size_t KeptOf(uint64_t size) {
  return static_cast<size_t>(std::min<uint64_t>(size, Decoder::kKept));
}

}  // namespace

Decoder::Decoder(std::shared_ptr<const zip::ByteSource> source, const Extent& extent,
                 size_t source_bytes)
    : source_(std::move(source)),
      extent_(extent),
      span_(SpanOf(extent.size)),
      has_checkpoints_(CheckpointMemory(extent.method) > 0),
      memory_bytes_(
          sizeof(*this) + KeptOf(extent.size) + DecodeStreamMemory(*source_, extent) +
          (static_cast<size_t>(extent.size / span_) + (extent.size > kKept ? kMostJumps : 0)) *
              (sizeof(ResumePoint) + CheckpointMemory(extent.method)) +
          source_bytes) {}

// The last place before `offset` to go on from; nullptr for the start of the member.
const Decoder::ResumePoint* Decoder::NearestResumePoint(uint64_t offset) const {
  const auto after = std::upper_bound(
      resume_points_.begin(), resume_points_.end(), offset,
      [](uint64_t position, const ResumePoint& point) { return position < point.position; });
  const ResumePoint* nearest = after == resume_points_.begin() ? nullptr : &*std::prev(after);
  for (const ResumePoint& point : jumps_) {
    if (point.position <= offset && (nearest == nullptr || point.position > nearest->position)) {
      nearest = &point;
    }
  }
  return nearest;
}

// Sees to it that what is at `offset` is kept, or will be decoded without a detour.
void Decoder::GoTo(uint64_t offset) {
  const bool can_go_on = stream_ && offset >= position_ - kept_count_;
  const ResumePoint* nearest = NearestResumePoint(offset);
  const bool is_shorter = nearest != nullptr && nearest->position > position_;
  if (can_go_on && !is_shorter) return;
  if (stream_) Leave();
  GoOnFrom(NearestResumePoint(offset));  // Leave() may have let go of that one
}

// Who reads on where it is now shall not have to decode a span again.
void Decoder::Leave() {
  const ResumePoint* nearest = NearestResumePoint(position_);
  if (position_ == extent_.size || (nearest != nullptr && nearest->position == position_)) return;
  auto checkpoint = stream_->Save();
  if (!checkpoint) return;
  if (jumps_.size() >= kMostJumps) jumps_.pop_back();
  jumps_.push_front({.position = position_, .crc32 = crc32_, .checkpoint = std::move(checkpoint)});
}

void Decoder::GoOnFrom(const ResumePoint* point) {
  stream_.reset();
  if (kept_.empty()) {
    const size_t size = KeptOf(extent_.size);
    memory_ = std::make_unique_for_overwrite<std::byte[]>(size);
    kept_ = {memory_.get(), size};
  }
  kept_count_ = not_asked_for_ = 0;
  position_ = point != nullptr ? point->position : 0;
  crc32_ = point != nullptr ? point->crc32 : 0;
  stream_ =
      OpenDecodeStream(*source_, extent_, point != nullptr ? point->checkpoint.get() : nullptr);
}

size_t Decoder::NextChunk() const {
  return static_cast<size_t>(std::min<uint64_t>(kChunk, extent_.size - position_));
}

// Decodes the next chunk to where others find it.
void Decoder::DecodeAndKeep() {
  // All positions but that of the end are whole chunks, so that none goes beyond the ring.
  const size_t at = static_cast<size_t>(position_ % kept_.size());
  const auto chunk = kept_.subspan(at, NextChunk());
  DecodeChunk(chunk);
  kept_count_ = std::min<uint64_t>(kept_count_ + chunk.size(), kept_.size());
  not_asked_for_ += chunk.size();
}

// Decodes the next chunk into `chunk`.
void Decoder::DecodeChunk(std::span<std::byte> chunk) {
  util::GetOn();
  if (stream_->Read(chunk) != chunk.size()) throw Error(EIO, "decodes to less than its size");
  crc32_ = Crc32(crc32_, chunk);
  position_ += chunk.size();
  if (position_ == extent_.size) {
    if (crc32_ != extent_.crc32) throw Error(EIO, "bad CRC-32");
  } else if (position_ % span_ == 0) {
    AddResumePoint();
  }
}

void Decoder::AddResumePoint() {
  if (!resume_points_.empty() && resume_points_.back().position >= position_) return;
  auto checkpoint = stream_->Save();
  if (!checkpoint) return;
  resume_points_.push_back(
      {.position = position_, .crc32 = crc32_, .checkpoint = std::move(checkpoint)});
}

// Copies the kept bytes from `from` on that belong into `out`, and returns the end of what it has
// now.
uint64_t Decoder::CopyKept(uint64_t from, uint64_t offset, std::span<std::byte> out) {
  const uint64_t end = std::min(position_, offset + out.size());
  while (from < end) {
    const size_t at = static_cast<size_t>(from % kept_.size());
    const auto count = static_cast<size_t>(std::min<uint64_t>(end - from, kept_.size() - at));
    std::copy_n(kept_.begin() + static_cast<ptrdiff_t>(at), count,
                out.begin() + static_cast<ptrdiff_t>(from - offset));
    from += count;
    not_asked_for_ -= std::min<uint64_t>(not_asked_for_, count);
  }
  return from;
}

void Decoder::Read(uint64_t offset, std::span<std::byte> out) {
  if (out.empty()) return;
  const util::MutexLock lock(mutex_);
  try {
    GoTo(offset);
    uint64_t done = CopyKept(offset, offset, out);
    const uint64_t end = offset + out.size();
    while (done < end) {
      // In order, and nobody is behind: what goes to the kernel's cache need not be kept here, too,
      // where it is not far to come back.
      if (has_checkpoints_ && done == position_ && end - done >= NextChunk() &&
          not_asked_for_ == 0) {
        kept_count_ = 0;
        DecodeChunk(out.subspan(static_cast<size_t>(done - offset), NextChunk()));
        done = position_;
      } else {
        DecodeAndKeep();
        done = CopyKept(done, offset, out);
      }
    }
  } catch (...) {
    stream_.reset();  // the next read goes on from a checkpoint, and fails the same way
    throw;
  }
}

}  // namespace skopsfs::archive
