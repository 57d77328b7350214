#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "archive/decode_stream.h"
#include "zip/byte_source.h"

namespace skopsfs::archive {

// A ZIP archive with one member, made up around the compressed bytes of an extent, which stay
// where they are. It is what libzip gets to see: it decodes, but which bytes are decoded has been
// decided by our own reader, and one handle a decoder keeps libzip's handles on one thread each.
class SingleMemberZip : public zip::ByteSource {
 public:
  SingleMemberZip(const zip::ByteSource& source, const Extent& extent);

  uint64_t size() const override { return head_.size() + extent_.compressed_size + tail_.size(); }
  size_t ReadAt(uint64_t offset, std::span<std::byte> out) const override;

 private:
  const zip::ByteSource& source_;
  const Extent extent_;
  std::vector<std::byte> head_;  // local header
  std::vector<std::byte> tail_;  // central directory and end records
};

}  // namespace skopsfs::archive
