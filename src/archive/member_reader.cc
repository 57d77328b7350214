#include "archive/member_reader.h"

#include <algorithm>
#include <vector>

#include "archive/crc32.h"
#include "archive/writer_detector.h"
#include "zip/format.h"
#include "zip/local_header.h"
#include "zip/sizes.h"

namespace skopsfs::archive {
namespace {

using util::Error;

constexpr auto kWrong = "bad CRC-32";
constexpr auto kDisproven = "bad CRC-32 after the archive was changed or touched while open";
constexpr auto kBeingWritten =
    "the archive was changed or touched while open, and is open for writing";
constexpr auto kUnproven = "the file was changed or touched while open, before all of it was read";

// Leaves no second copy of what is read in memory.
void ReadStored(const ArchiveFile& file, const Extent& extent, uint64_t offset,
                std::span<std::byte> out, bool is_for_pages) {
  const uint64_t at = extent.offset + offset;
  const size_t got = is_for_pages ? file.ReadForPages(at, out) : file.ReadAt(at, out);
  if (got != out.size()) throw Error(EIO, "the archive became shorter");
  file.pages().Served(at, out.size());
}

// Reads the member through with `read`, a piece at a time.
template <typename Read>
uint32_t CrcOf(const Extent& extent, const Read& read) {
  std::vector<std::byte> block(size_t{1} << 20);
  uint32_t crc = 0;
  for (uint64_t done = 0; done < extent.size;) {
    const auto part = std::span(block).first(
        static_cast<size_t>(std::min<uint64_t>(block.size(), extent.size - done)));
    read(done, part);
    crc = Crc32(crc, part);
    done += part.size();
  }
  return crc;
}

uint32_t CrcOfStored(const ArchiveFile& file, const Extent& extent) {
  return CrcOf(extent,
               [&](uint64_t offset, auto part) { ReadStored(file, extent, offset, part, false); });
}

std::shared_ptr<Decoder> MakeDecoder(const std::shared_ptr<const ArchiveFile>& file,
                                     const Extent& extent) {
  if (!extent.within) return std::make_shared<Decoder>(file, extent);
  // The decoder of what is in the compressed member keeps both.
  const auto outer = std::make_shared<Decoder>(file, *extent.within);
  const auto bytes = std::make_shared<const zip::ReadByFunction>(
      extent.within->size,
      [outer](uint64_t offset, std::span<std::byte> out) { outer->Read(offset, out); });
  return std::make_shared<Decoder>(bytes, extent, outer->memory_bytes());
}

// The decoder of a state, which decodes what the extent is made of.
std::shared_ptr<Decoder> DecoderOf(MemberState& state,
                                   const std::shared_ptr<const ArchiveFile>& file,
                                   const Extent& extent) {
  return state.pool.Get(state.decoder, [&] { return MakeDecoder(file, extent.decoded()); });
}

void CheckDecodedCrc(const std::shared_ptr<const ArchiveFile>& file, const Extent& extent,
                     DecoderPool& pool) {
  MemberState fresh(extent.size, pool);  // others may have decoded what the file was before
  const auto decoder = DecoderOf(fresh, file, extent);
  if (!extent.is_stored()) {
    // To the last byte, where the decoder compares it.
    std::byte last;
    return decoder->Read(extent.size - 1, {&last, 1});
  }
  const auto crc = CrcOf(
      extent, [&](uint64_t offset, auto part) { decoder->Read(extent.offset + offset, part); });
  if (crc != extent.crc32) throw Error(EIO, kWrong);
}

}  // namespace

std::optional<Error> RefusalOf(const zip::Entry& entry) {
  if (auto refusal = zip::RefusalOf(entry)) return refusal;
  if (entry.method != zip::kMethodStored && !CanDecode(entry.method)) {
    return Error(EOPNOTSUPP,
                 "compression method " + std::to_string(entry.method) + " is not supported");
  }
  if (entry.size > zip::MostDecoded(entry.method, entry.compressed_size)) {
    return Error(EIO, "larger than its compressed data can be");
  }
  // An empty file is never read.
  if (entry.size == 0 && entry.crc32 != 0) return Error(EIO, kWrong);
  return std::nullopt;
}

Extent LocateMember(const zip::ByteSource& source, const ArchiveIndex& index,
                    const zip::Entry& entry) {
  if (const auto refusal = archive::RefusalOf(entry)) throw Error(*refusal);
  return {.offset = zip::LocateData(source, index.directory(), entry),
          .compressed_size = entry.compressed_size,
          .size = entry.size,
          .crc32 = entry.crc32,
          .method = entry.method,
          .flags = entry.flags};
}

MemberReader::MemberReader(std::shared_ptr<const ArchiveFile> file, const Extent& extent,
                           DecoderPool& pool)
    : file_(std::move(file)),
      extent_(extent),
      state_(file_->members().Of(extent, pool)),
      decoder_state_(file_->members().Of(extent.decoded(), pool)) {}

size_t MemberReader::Read(uint64_t offset, std::span<std::byte> out) {
  out = zip::Within(extent_.size, offset, out);
  if (out.empty()) return 0;
  // Only a file that is touched over and over makes this go round.
  constexpr int kAttempts = 10;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto changed = ReadUnproven(offset, out);
    if (!changed) return out.size();
    Prove(*changed);
  }
  throw Error(EIO, "the archive is being changed all the time");
}

std::optional<size_t> MemberReader::ReadAtOnce(uint64_t offset, std::span<std::byte> out) {
  out = zip::Within(extent_.size, offset, out);
  if (out.empty()) return 0;
  if (extent_.is_decoded() || ReadUnproven(offset, out)) return std::nullopt;
  return out.size();
}

// Returns the change time with which the member must be proven before what was read counts.
std::optional<int64_t> MemberReader::ReadUnproven(uint64_t offset, std::span<std::byte> out) {
  // Taken before the read: what is read while another thread proves is not proven by that.
  const int64_t trusted = trusted_.load();
  if (state_->wrong) throw Error(EIO, kWrong);
  try {
    ReadBytes(offset, out);
  } catch (const Error&) {
    // The error may come from an earlier state of the file. Then the member is proven instead.
    const auto changed = file_->CheckUnchanged();
    if (changed && changed != trusted) return changed;
    throw;
  }
  const auto changed = file_->CheckUnchanged();
  if (changed && changed != trusted) return changed;
  if (extent_.is_stored()) AddToCrc(offset, out);
  return std::nullopt;
}

void MemberReader::ReadBytes(uint64_t offset, std::span<std::byte> out) const {
  if (extent_.is_decoded()) {
    const uint64_t start = extent_.is_stored() ? extent_.offset : 0;
    return DecoderOf(*decoder_state_, file_, extent_)->Read(start + offset, out);
  }
  // Of a small member, what lies beside it is likely to be asked for next.
  constexpr uint64_t kLargeMember = uint64_t{1} << 20;
  ReadStored(*file_, extent_, offset, out, extent_.size >= kLargeMember);
}

void MemberReader::AddToCrc(uint64_t offset, std::span<const std::byte> bytes) {
  if (state_->right) return;
  const auto crc = state_->running_crc.Add(offset, bytes);
  if (!crc) return;
  if (!extent_.has_crc32 || *crc == extent_.crc32) {
    state_->crc32 = *crc;
    state_->right = true;
  } else {
    state_->wrong = true;
    throw Error(EIO, kWrong);
  }
}

void MemberReader::TakeAsItIs() {
  const auto changed = file_->CheckUnchanged();
  if (!changed) return;
  WaitUntilSettled(*changed);
  if (file_->IsBeingWritten()) throw Error(EIO, kBeingWritten);
  trusted_ = *changed;
}

uint32_t MemberReader::LearnCrc32() {
  const util::MutexLock lock(state_->mutex);
  if (!state_->right) {
    TakeAsItIs();
    const uint32_t crc = CrcOfStored(*file_, extent_);
    if (file_->CheckUnchanged().value_or(MemberState::kNone) != trusted_) {
      throw Error(EIO, "the archive is being changed all the time");
    }
    state_->crc32 = crc;
    state_->right = true;
  }
  return state_->crc32;
}

void MemberReader::CheckCrc() {
  if (!extent_.is_decoded()) {
    if (CrcOfStored(*file_, extent_) != Crc32().value()) throw Error(EIO, kWrong);
  } else if (extent_.size > 0) {
    CheckDecodedCrc(file_, extent_, state_->pool);
  }
}

void MemberReader::Verify() {
  const util::MutexLock lock(state_->mutex);
  if (state_->right) return;
  if (state_->wrong) throw Error(EIO, kWrong);
  try {
    CheckCrc();
  } catch (const Error&) {
    state_->wrong = !file_->failed_to_read() && file_->IsCurrent();
    throw;
  }
  state_->right = file_->IsCurrent();
}

void MemberReader::Prove(int64_t changed) {
  const util::MutexLock lock(state_->mutex);
  if (trusted_.load() == changed) return;
  if (state_->proven != changed) {
    ProveMember(changed);
    if (file_->CheckUnchanged() != changed) return;
    state_->proven = changed;
  }
  // What others who read it meanwhile have decoded may be of before.
  decoder_state_->pool.Drop(decoder_state_->decoder);
  trusted_.store(changed);
}

void MemberReader::ProveMember(int64_t changed) {
  if (state_->disproven == changed) throw Error(EIO, kDisproven);
  WaitUntilSettled(changed);
  // What is found right now could be overwritten in a moment without another change of the times.
  if (file_->IsBeingWritten()) {
    throw Error(EIO, kBeingWritten);
  }
  if (!Crc32()) throw Error(EIO, kUnproven);
  try {
    CheckCrc();
  } catch (const Error&) {
    // Not to read a large member through again for each request.
    if (!file_->failed_to_read()) state_->disproven = changed;
    throw Error(EIO, kDisproven);
  }
}

}  // namespace skopsfs::archive
