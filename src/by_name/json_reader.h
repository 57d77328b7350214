#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "by_name/code_points.h"

namespace skopsfs::by_name {

// A streaming parser of JSON: it gives one event after the other, in bounded memory. It takes what
// Python's json.loads takes: NaN and the infinities, numbers beyond a double, lone surrogates; no
// integer of more than 4300 digits. It borrows its input. Not thread-safe.
class JsonReader {
 public:
  static constexpr size_t kDeepest = 2000;
  static constexpr size_t kLongestText = size_t{64}
                                         << 10;  // bytes that are kept; a key has no more

  enum class Event : uint8_t {
    kObject,
    kArray,
    kEnd,  // of an object or array
    kKey,  // of the value that comes next
    kText,
    kNumber,
    kLiteral,
    kDone
  };

  explicit JsonReader(CodePoints& input) : input_(input) {}

  // Throws util::Error: EIO when the text is no JSON, EFBIG when it is nested deeper than kDeepest
  // or a key is too long.
  Event Next();

  // The key, text or number that came last, in UTF-8. A lone surrogate takes three bytes. A text
  // that is longer than kLongestText is cut.
  const std::string& text() const { return text_; }
  bool is_cut() const { return is_cut_; }

 private:
  enum class Expected : uint8_t { kValue, kFirstValue, kKey, kFirstKey, kMore };

  void SkipSpace();
  void Require(char32_t c, std::string_view why);
  Event Open(bool is_object);
  Event Close();
  Event Value();
  Event Literal(std::string_view rest);
  Event Number();
  size_t Digits();
  Event Key();
  void Text(bool is_key);
  void Escape();
  char32_t FourDigits();
  void Append(char32_t c);

  CodePoints& input_;
  Expected expected_ = Expected::kValue;
  std::vector<bool> objects_;  // whether each of what is open is an object
  std::string text_;
  bool is_cut_ = false;
};

}  // namespace skopsfs::by_name
