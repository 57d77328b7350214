#include <lzma.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>
#include <vector>

#include "archive/codecs.h"
#include "util/error.h"
#include "util/little_endian.h"

namespace skopsfs::archive {
namespace {

using util::Error;

constexpr uint32_t kLargestDictionary = 64U << 20;  // bytes; the data may ask for 4 GiB
constexpr size_t kInputBlock = size_t{64} << 10;
constexpr size_t kHeaderSize = 4;      // version of LZMA, size of the properties
constexpr size_t kPropertiesSize = 5;  // of LZMA1

// LZMA as ZIP has it: a short header, the properties, one raw LZMA1 stream.
class LzmaStream : public DecodeStream {
 public:
  LzmaStream(const zip::ByteSource& source, const Extent& extent)
      : source_(source), next_(extent.offset), left_(extent.compressed_size), input_(kInputBlock) {
    const lzma_options_lzma options = ReadOptions();
    const std::array<lzma_filter, 2> filters = {
        lzma_filter{LZMA_FILTER_LZMA1, const_cast<lzma_options_lzma*>(&options)},
        lzma_filter{LZMA_VLI_UNKNOWN, nullptr}};
    Check(lzma_raw_decoder(&lzma_, filters.data()));
  }
  ~LzmaStream() override { lzma_end(&lzma_); }
  LzmaStream(const LzmaStream&) = delete;
  LzmaStream& operator=(const LzmaStream&) = delete;

  size_t Read(std::span<std::byte> out) override {
    lzma_.next_out = reinterpret_cast<uint8_t*>(out.data());
    lzma_.avail_out = out.size();
    while (lzma_.avail_out > 0 && !at_end_) {
      if (lzma_.avail_in == 0) Refill();
      const lzma_ret result = lzma_code(&lzma_, LZMA_RUN);
      if (result == LZMA_STREAM_END || (result == LZMA_BUF_ERROR && left_ == 0)) {
        at_end_ = true;
      } else {
        Check(result);
      }
    }
    return out.size() - lzma_.avail_out;
  }

 private:
  [[noreturn]] static void Fail() { throw Error(EIO, "cannot be decoded: bad LZMA data"); }

  static void Check(lzma_ret result) {
    if (result == LZMA_MEM_ERROR) throw std::bad_alloc();
    if (result != LZMA_OK) Fail();
  }

  void Take(std::span<std::byte> out) {
    if (out.size() > left_ || source_.ReadAt(next_, out) != out.size()) Fail();
    next_ += out.size();
    left_ -= out.size();
  }

  void Refill() {
    const auto size = static_cast<size_t>(std::min<uint64_t>(left_, input_.size()));
    Take(std::span(input_).first(size));
    lzma_.next_in = reinterpret_cast<const uint8_t*>(input_.data());
    lzma_.avail_in = size;
  }

  lzma_options_lzma ReadOptions() {
    std::array<std::byte, kHeaderSize + kPropertiesSize> head;
    Take(head);
    if (util::LoadU16(head, 2) != kPropertiesSize) Fail();
    if (util::LoadU32(head, kHeaderSize + 1) > kLargestDictionary) {
      throw Error(EIO, "its LZMA dictionary is larger than the limit of 64 MiB");
    }
    lzma_filter filter{LZMA_FILTER_LZMA1, nullptr};
    const auto* properties = reinterpret_cast<const uint8_t*>(head.data()) + kHeaderSize;
    Check(lzma_properties_decode(&filter, nullptr, properties, kPropertiesSize));
    const auto options = *static_cast<lzma_options_lzma*>(filter.options);
    std::free(filter.options);
    return options;
  }

  const zip::ByteSource& source_;
  uint64_t next_;  // offset of the next compressed byte
  uint64_t left_;  // compressed bytes from there on
  std::vector<std::byte> input_;
  lzma_stream lzma_ = LZMA_STREAM_INIT;
  bool at_end_ = false;
};

}  // namespace

size_t LzmaStreamMemory(const zip::ByteSource& source, const Extent& extent) {
  constexpr size_t kOwn = kInputBlock + (size_t{64} << 10);  // probabilities and state
  std::array<std::byte, kHeaderSize + kPropertiesSize> head{};
  if (extent.compressed_size < head.size() || source.ReadAt(extent.offset, head) != head.size()) {
    return kOwn;
  }
  return kOwn + std::min(util::LoadU32(head, kHeaderSize + 1), kLargestDictionary);
}

std::unique_ptr<DecodeStream> OpenLzmaStream(const zip::ByteSource& source, const Extent& extent) {
  return std::make_unique<LzmaStream>(source, extent);
}

}  // namespace skopsfs::archive
