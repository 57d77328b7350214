#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "zip/byte_source.h"

namespace skopsfs::testing {

// An archive in memory.
class MemorySource : public zip::ByteSource {
 public:
  explicit MemorySource(std::string bytes) : bytes_(std::move(bytes)) {}

  uint64_t size() const override { return bytes_.size(); }

  size_t ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= bytes_.size()) return 0;
    const auto count = static_cast<size_t>(std::min<uint64_t>(out.size(), bytes_.size() - offset));
    if (count > 0) std::memcpy(out.data(), bytes_.data() + offset, count);
    return count;
  }

 private:
  const std::string bytes_;
};

}  // namespace skopsfs::testing
