#include "by_name/json_reader.h"

#include "util/error.h"
#include "util/utf8.h"

namespace skopsfs::by_name {
namespace {

using util::Error;

constexpr auto kNoValue = "there is no value";
constexpr size_t kMostDigits = 4300;  // of an integer: sys.set_int_max_str_digits()

bool IsDigit(char32_t c) { return c >= '0' && c <= '9'; }

}  // namespace

JsonReader::Event JsonReader::Next() {
  SkipSpace();
  const char32_t c = input_.Peek();
  switch (expected_) {
    case Expected::kFirstValue:
      return c == ']' ? Close() : Value();
    case Expected::kValue:
      return Value();
    case Expected::kFirstKey:
      return c == '}' ? Close() : Key();
    case Expected::kKey:
      return Key();
    case Expected::kMore:
      break;
  }
  if (objects_.empty()) {
    if (c != CodePoints::kEnd) input_.Fail("there is more behind it");
    return Event::kDone;
  }
  const bool is_object = objects_.back();
  if (c == static_cast<char32_t>(is_object ? '}' : ']')) return Close();
  Require(',', "a comma is missing");
  SkipSpace();
  return is_object ? Key() : Value();
}

void JsonReader::SkipSpace() {
  while (true) {
    const char32_t c = input_.Peek();
    if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
    input_.Skip();
  }
}

void JsonReader::Require(char32_t c, std::string_view why) {
  if (input_.Peek() != c) input_.Fail(why);
  input_.Skip();
}

JsonReader::Event JsonReader::Open(bool is_object) {
  if (objects_.size() == kDeepest) throw Error(EFBIG, "schema.json is nested too deeply");
  objects_.push_back(is_object);
  expected_ = is_object ? Expected::kFirstKey : Expected::kFirstValue;
  return is_object ? Event::kObject : Event::kArray;
}

JsonReader::Event JsonReader::Close() {
  input_.Skip();
  objects_.pop_back();
  expected_ = Expected::kMore;
  return Event::kEnd;
}

JsonReader::Event JsonReader::Value() {
  const char32_t c = input_.Peek();
  if (c == '-' || IsDigit(c)) return Number();
  if (c == CodePoints::kEnd) input_.Fail(kNoValue);
  input_.Skip();
  expected_ = Expected::kMore;
  switch (c) {
    case '{':
      return Open(true);
    case '[':
      return Open(false);
    case '"':
      Text(false);
      return Event::kText;
    case 'n':
      return Literal("ull");
    case 't':
      return Literal("rue");
    case 'f':
      return Literal("alse");
    case 'N':
      return Literal("aN");
    case 'I':
      return Literal("nfinity");
    default:
      input_.Fail(kNoValue);
  }
}

JsonReader::Event JsonReader::Literal(std::string_view rest) {
  for (const char c : rest) Require(static_cast<unsigned char>(c), kNoValue);
  return Event::kLiteral;
}

// The digits that come, of which there are some; how many.
size_t JsonReader::Digits() {
  size_t count = 0;
  for (; IsDigit(input_.Peek()); ++count) Append(input_.Take());
  if (count == 0) input_.Fail("a digit is missing");
  return count;
}

JsonReader::Event JsonReader::Number() {
  text_.clear();
  is_cut_ = false;
  expected_ = Expected::kMore;
  if (input_.Peek() == '-') {
    Append(input_.Take());
    if (input_.Peek() == 'I') return Literal("Infinity");
  }
  size_t digits = 1;
  if (input_.Peek() == '0') {
    Append(input_.Take());  // and no digit behind it
  } else {
    digits = Digits();
  }
  bool is_integer = true;
  if (input_.Peek() == '.') {
    is_integer = false;
    Append(input_.Take());
    Digits();
  }
  if (input_.Peek() == 'e' || input_.Peek() == 'E') {
    is_integer = false;
    Append(input_.Take());
    if (input_.Peek() == '+' || input_.Peek() == '-') Append(input_.Take());
    Digits();
  }
  if (is_integer && digits > kMostDigits) input_.Fail("an integer has too many digits");
  return Event::kNumber;
}

JsonReader::Event JsonReader::Key() {
  Require('"', "a key is missing");
  Text(true);
  SkipSpace();
  Require(':', "a colon is missing");
  expected_ = Expected::kValue;
  return Event::kKey;
}

// The rest of a text, behind its first quote.
void JsonReader::Text(bool is_key) {
  constexpr char32_t kFirstPrintable = 0x20;
  text_.clear();
  is_cut_ = false;
  while (true) {
    const char32_t c = input_.Take();
    if (c == '"') return;
    if (c == CodePoints::kEnd) input_.Fail("a text does not end");
    if (c < kFirstPrintable) input_.Fail("there is a control character in a text");
    c == '\\' ? Escape() : Append(c);
    if (is_cut_ && is_key) throw Error(EFBIG, "schema.json has a key that is too long");
  }
}

// What follows a backslash. A high and a low surrogate are one character where each is escaped.
void JsonReader::Escape() {
  constexpr std::string_view kEscaped = "\"\\/bfnrt";
  constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
  char32_t high = 0;
  while (true) {
    const char32_t c = input_.Take();
    const bool is_unit = c == 'u';
    const auto at = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : std::string_view::npos;
    if (!is_unit && at == std::string_view::npos) input_.Fail("there is no such escape");
    const char32_t meant = is_unit ? FourDigits() : static_cast<unsigned char>(kMeant[at]);
    if (high != 0 && IsLowSurrogate(meant)) return Append(JoinSurrogates(high, meant));
    if (high != 0) Append(high);
    if (!IsHighSurrogate(meant) || input_.Peek() != '\\') return Append(meant);
    high = meant;
    input_.Skip();
  }
}

char32_t JsonReader::FourDigits() {
  char32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char32_t c = input_.Take();
    const char32_t small = c | 0x20U;
    const bool is_letter = small >= 'a' && small <= 'f';
    if (!IsDigit(c) && !is_letter) input_.Fail("four hexadecimal digits are missing");
    value = value << 4 | (is_letter ? small - 'a' + 10 : c - '0');
  }
  return value;
}

void JsonReader::Append(char32_t c) {
  constexpr size_t kLongestCharacter = 4;
  is_cut_ = is_cut_ || text_.size() + kLongestCharacter > kLongestText;
  if (!is_cut_) util::AppendUtf8(text_, c);
}

}  // namespace skopsfs::by_name
