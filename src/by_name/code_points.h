#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

namespace skopsfs::by_name {

// Gives the next bytes of a schema: 0 at its end.
using ReadSchema = std::function<size_t(std::span<char> out)>;

// The code points of a JSON text, decoded piece by piece from UTF-8, UTF-16 or UTF-32. It tells
// these apart and decodes them as Python's json.loads does: a lone surrogate is a code point. It
// owns its buffers. Not thread-safe.
class CodePoints {
 public:
  static constexpr char32_t kEnd = 0xffffffff;
  enum class Encoding : uint8_t { kUtf8, kUtf16Little, kUtf16Big, kUtf32Little, kUtf32Big };

  // Without `encoding`, the first bytes tell it. `read` must outlive this object.
  explicit CodePoints(const ReadSchema& read, std::optional<Encoding> encoding = {})
      : read_(read), encoding_(encoding) {}

  // The next code point. Throws util::Error(EIO) when the bytes are no text, and what `read`
  // throws.
  char32_t Peek() { return at_ < size_ || Refill() ? decoded_[at_] : kEnd; }
  void Skip() { ++at_; }
  char32_t Take() {
    const char32_t taken = Peek();
    if (taken != kEnd) Skip();
    return taken;
  }

  // Throws util::Error(EIO) with this reason and how far the text has been read.
  [[noreturn]] void Fail(std::string_view why) const;

 private:
  static constexpr size_t kBytes = size_t{16} << 10;

  bool Refill();
  void FindEncoding();
  size_t DecodeOne(size_t at);

  const ReadSchema& read_;
  std::optional<Encoding> encoding_;
  std::array<unsigned char, kBytes> bytes_;
  size_t left_ = 0;  // bytes, of which the last ones may be part of a character
  bool is_end_ = false;
  std::array<char32_t, kBytes> decoded_;
  size_t at_ = 0;
  size_t size_ = 0;
  uint64_t before_ = 0;  // characters of what was decoded earlier
};

inline bool IsHighSurrogate(char32_t c) { return c >= 0xd800 && c <= 0xdbff; }
inline bool IsLowSurrogate(char32_t c) { return c >= 0xdc00 && c <= 0xdfff; }
inline char32_t JoinSurrogates(char32_t high, char32_t low) {
  return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

}  // namespace skopsfs::by_name
