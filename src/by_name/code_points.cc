#include "by_name/code_points.h"

#include <fmt/format.h>

#include <algorithm>

#include "util/error.h"
#include "util/utf8.h"

namespace skopsfs::by_name {
namespace {

constexpr size_t kLongestStart = 4;  // bytes that tell the encoding
constexpr char32_t kLastCodePoint = 0x10ffff;

}  // namespace

void CodePoints::Fail(std::string_view why) const {
  throw util::Error(EIO,
                    fmt::format("schema.json is not JSON: {} at character {}", why, before_ + at_));
}

bool CodePoints::Refill() {
  before_ += size_;
  at_ = size_ = 0;
  while (size_ == 0 && !is_end_) {
    const auto room = std::span(bytes_).subspan(left_);
    const size_t got = read_({reinterpret_cast<char*>(room.data()), room.size()});
    is_end_ = got == 0;
    left_ += got;
    if (!encoding_ && (left_ >= kLongestStart || is_end_)) FindEncoding();
    if (!encoding_) continue;
    size_t at = 0;
    while (at < left_) {
      if (*encoding_ == Encoding::kUtf8 && bytes_[at] < 0x80) {
        decoded_[size_++] = bytes_[at++];
        continue;
      }
      const size_t used = DecodeOne(at);
      if (used == 0) break;
      at += used;
    }
    std::copy(bytes_.begin() + at, bytes_.begin() + left_, bytes_.begin());
    left_ -= at;
  }
  if (size_ == 0 && left_ > 0) Fail("the last character is not whole");
  return size_ > 0;
}

// As json.detect_encoding does, and drops a byte order mark.
void CodePoints::FindEncoding() {
  const auto starts = [&](std::string_view with) {
    return left_ >= with.size() &&
           std::equal(with.begin(), with.end(), bytes_.begin(),
                      [](char a, unsigned char b) { return static_cast<unsigned char>(a) == b; });
  };
  const auto marked = [&](Encoding encoding, size_t mark) {
    encoding_ = encoding;
    std::copy(bytes_.begin() + mark, bytes_.begin() + left_, bytes_.begin());
    left_ -= mark;
  };
  using std::string_view_literals::operator""sv;
  if (starts("\x00\x00\xfe\xff"sv)) return marked(Encoding::kUtf32Big, 4);
  if (starts("\xff\xfe\x00\x00"sv)) return marked(Encoding::kUtf32Little, 4);
  if (starts("\xfe\xff"sv)) return marked(Encoding::kUtf16Big, 2);
  if (starts("\xff\xfe"sv)) return marked(Encoding::kUtf16Little, 2);
  if (starts("\xef\xbb\xbf"sv)) return marked(Encoding::kUtf8, 3);
  encoding_ = Encoding::kUtf8;
  const bool is_short = left_ == 2;
  if (left_ < kLongestStart && !is_short) return;
  if (bytes_[0] == 0) {
    encoding_ = is_short || bytes_[1] != 0 ? Encoding::kUtf16Big : Encoding::kUtf32Big;
  } else if (bytes_[1] == 0) {
    const bool is_utf16 = is_short || bytes_[2] != 0 || bytes_[3] != 0;
    encoding_ = is_utf16 ? Encoding::kUtf16Little : Encoding::kUtf32Little;
  }
}

// Decodes the character at `at`; returns its bytes, 0 when these are not all there yet.
size_t CodePoints::DecodeOne(size_t at) {
  const size_t left = left_ - at;
  const auto number = [&](size_t from, size_t bytes, bool is_big) {
    char32_t value = 0;
    for (size_t i = 0; i < bytes; ++i) {
      value = value << 8 | bytes_[at + from + (is_big ? i : bytes - 1 - i)];
    }
    return value;
  };
  const auto take = [&](char32_t value, size_t bytes) {
    if (value > kLastCodePoint) Fail("there is no such character");
    decoded_[size_++] = value;
    return bytes;
  };
  if (*encoding_ == Encoding::kUtf32Little || *encoding_ == Encoding::kUtf32Big) {
    return left < 4 ? 0 : take(number(0, 4, *encoding_ == Encoding::kUtf32Big), 4);
  }
  if (*encoding_ != Encoding::kUtf8) {
    const bool is_big = *encoding_ == Encoding::kUtf16Big;
    if (left < 2) return 0;
    const char32_t unit = number(0, 2, is_big);
    if (!IsHighSurrogate(unit)) return take(unit, 2);
    if (left < 4) return is_end_ ? take(unit, 2) : 0;
    const char32_t low = number(2, 2, is_big);
    return IsLowSurrogate(low) ? take(JoinSurrogates(unit, low), 4) : take(unit, 2);
  }
  char32_t value = 0;
  const auto* const bytes = reinterpret_cast<const char*>(bytes_.data());
  const size_t size = util::DecodeFirst({bytes + at, left}, value);
  if (size == 0) Fail("it is not UTF-8");
  return size > left ? 0 : take(value, size);
}

}  // namespace skopsfs::by_name
