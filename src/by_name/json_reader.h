#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "by_name/code_points.h"

namespace skopsfs::by_name {

// Reads JSON as Python's json.loads does, and takes what that takes: NaN and the infinities,
// numbers beyond a double, surrogates that stand alone; no integer of more than 4300 digits. One
// event after the other, in little memory whatever comes. Not thread-safe.
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

  // Throws util::Error: EIO where it is no JSON; EFBIG where it is nested deeper than kDeepest or a
  // key is too long.
  Event Next();

  // Of the key, text or number that came last: in UTF-8, where a surrogate that stands alone takes
  // three bytes as well. What is longer than kLongestText is cut.
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
