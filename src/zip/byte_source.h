#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

namespace skopsfs::zip {

// The front of `out` that can be filled from `offset` on, of `size` bytes in all.
inline std::span<std::byte> Within(uint64_t size, uint64_t offset, std::span<std::byte> out) {
  if (offset >= size) return {};
  return out.first(static_cast<size_t>(std::min<uint64_t>(out.size(), size - offset)));
}

// A range of bytes that can be read at any offset: an archive file, or memory in tests.
// Implementations are safe to use from several threads at once.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // Bytes in all; constant while the object lives.
  virtual uint64_t size() const = 0;

  // Fills `out` from `offset` on. Returns the number of bytes: fewer than asked for only where the
  // source ends. Throws util::Error (EIO, or the errno of the read).
  virtual size_t ReadAt(uint64_t offset, std::span<std::byte> out) const = 0;
};

// A ByteSource that a function reads. The function is called with what lies within the size only.
// It owns the function.
class ReadByFunction : public ByteSource {
 public:
  using Read = std::function<void(uint64_t offset, std::span<std::byte> out)>;
  ReadByFunction(uint64_t size, Read read) : size_(size), read_(std::move(read)) {}

  uint64_t size() const override { return size_; }
  size_t ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    out = Within(size_, offset, out);
    if (!out.empty()) read_(offset, out);
    return out.size();
  }

 private:
  const uint64_t size_;
  const Read read_;
};

}  // namespace skopsfs::zip
