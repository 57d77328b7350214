#include "ctl/npy_header.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "util/error.h"
#include "util/little_endian.h"
#include "util/number.h"
#include "util/utf8.h"

namespace skopsfs::ctl {
namespace {

using util::Error;

constexpr size_t kMostDimensions = 64;  // of NumPy 2
constexpr int kDeepest = 32;

[[noreturn]] void Refuse(const std::string& why) { throw Error(EIO, "no .npy header: " + why); }

// A value of a Python literal. `text` is how it is written.
struct Value {
  enum class Kind { kText, kNumber, kBool, kNone, kTuple, kList };

  Kind kind = Kind::kNone;
  std::string text = {};
  std::string content = {};            // of a text, between its quotes
  uint64_t number = 0;                 // of a number or bool
  std::vector<uint64_t> numbers = {};  // of a tuple that holds nothing else
  bool holds_numbers = true;
};

// Reads the part of Python's literals that headers are written in. Not thread-safe.
class Literal {
 public:
  explicit Literal(std::string_view text) : rest_(text) {}

  bool Take(char c) {
    SkipSpace();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void Want(char c) {
    if (!Take(c)) Refuse(fmt::format("there is no '{}' where one is expected", c));
  }
  bool AtEnd() {
    SkipSpace();
    return rest_.empty();
  }

  Value Parse(int depth = 0) {
    if (depth > kDeepest) Refuse("it is nested too deeply");
    SkipSpace();
    const char c = rest_.empty() ? '\0' : rest_.front();
    if (c == '\'' || c == '"') return Text();
    if (c == '(') return Sequence('(', ')', Value::Kind::kTuple, depth);
    if (c == '[') return Sequence('[', ']', Value::Kind::kList, depth);
    if (c >= '0' && c <= '9') return Number();
    if (TakeWord("True")) return {.kind = Value::Kind::kBool, .text = "True", .number = 1};
    if (TakeWord("False")) return {.kind = Value::Kind::kBool, .text = "False"};
    if (TakeWord("None")) return {.kind = Value::Kind::kNone, .text = "None"};
    Refuse("a value in it is none that NumPy writes");
  }

 private:
  void SkipSpace() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n\f"), rest_.size()));
  }

  bool TakeWord(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  // Escapes stay as they are written: the text is for people.
  Value Text() {
    const char quote = rest_.front();
    size_t end = 1;
    while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) Refuse("a text in it does not end");
    Value value{.kind = Value::Kind::kText,
                .text = std::string(rest_.substr(0, end + 1)),
                .content = std::string(rest_.substr(1, end - 1))};
    if (value.text.find('\n') != std::string::npos) Refuse("a text in it does not end");
    rest_.remove_prefix(end + 1);
    return value;
  }

  Value Number() {
    const auto digits = rest_.substr(0, rest_.find_first_not_of("0123456789"));
    const auto number = util::ParseNumber<uint64_t>(digits);
    if (!number) Refuse("a number in it is too large");
    rest_.remove_prefix(digits.size());
    TakeWord("L");  // as Python 2 wrote them
    return {.kind = Value::Kind::kNumber, .text = std::to_string(*number), .number = *number};
  }

  Value Sequence(char open, char close, Value::Kind kind, int depth) {
    Value value{.kind = kind, .text = std::string(1, open)};
    Want(open);
    size_t count = 0;
    bool comma = true;
    while (!Take(close)) {
      if (!comma) Refuse("a ',' is missing in it");
      const Value item = Parse(depth + 1);
      comma = Take(',');
      value.text += (count++ == 0 ? "" : ", ") + item.text;
      value.holds_numbers = value.holds_numbers && item.kind == Value::Kind::kNumber;
      if (value.holds_numbers) value.numbers.push_back(item.number);
    }
    const bool is_tuple = kind == Value::Kind::kTuple;
    if (is_tuple && count == 1 && !comma) Refuse("something in brackets is not a tuple");
    value.text += is_tuple && count == 1 ? "," : "";
    value.text += close;
    return value;
  }

  std::string_view rest_;
};

// As NumPy prints the type that it writes as `code`.
std::string TypeName(const std::string& code) {
  const std::string_view text = code;
  const bool has_order = !text.empty() && std::string_view("<>|=").find(text[0]) != text.npos;
  const auto type = has_order ? text.substr(1) : text;
  if (type.empty() || text[0] == '>') return code;
  if (type == "O") return "object";
  if (type == "b1") return "bool";
  const auto rest = type.substr(1);
  if (type.starts_with("M8")) return "datetime64" + std::string(type.substr(2));
  if (type.starts_with("m8")) return "timedelta64" + std::string(type.substr(2));
  const auto bytes = util::ParseNumber<unsigned>(rest);
  constexpr unsigned kWidest = 32;
  if (!bytes || *bytes > kWidest) return code;
  for (const std::string_view name : {"int", "uint", "float", "complex"}) {
    if (name[0] == type[0]) return fmt::format("{}{}", name, 8 * *bytes);
  }
  return code;
}

std::string TypeOf(const Value& descr) {
  switch (descr.kind) {
    case Value::Kind::kText:
      if (descr.content.empty()) Refuse("its type has no name");
      return TypeName(descr.content);
    case Value::Kind::kTuple:  // with a shape of its own
    case Value::Kind::kList:   // of fields
      return descr.text;
    default:
      Refuse("its type is none");
  }
}

std::vector<uint64_t> ShapeOf(const Value& shape) {
  if (shape.kind != Value::Kind::kTuple || !shape.holds_numbers) Refuse("its shape is none");
  if (shape.numbers.size() > kMostDimensions) Refuse("it has more than 64 dimensions");
  uint64_t elements = 1;
  for (const uint64_t length : shape.numbers) {
    if (length != 0 && elements > INT64_MAX / length) Refuse("its shape is too large");
    elements *= length;
  }
  return shape.numbers;
}

// Of the dictionary that a header is.
NpyHeader ParseDictionary(std::string_view text) {
  Literal literal(text);
  std::optional<Value> descr;
  std::optional<Value> order;
  std::optional<Value> shape;
  literal.Want('{');
  bool comma = true;
  while (!literal.Take('}')) {
    if (!comma) Refuse("a ',' is missing in it");
    const Value key = literal.Parse();
    literal.Want(':');
    const auto place = key.kind != Value::Kind::kText   ? nullptr
                       : key.content == "descr"         ? &descr
                       : key.content == "fortran_order" ? &order
                       : key.content == "shape"         ? &shape
                                                        : nullptr;
    if (place == nullptr) Refuse("a key in it is unknown");
    if (*place) Refuse("a key is in it twice");
    *place = literal.Parse();
    comma = literal.Take(',');
  }
  if (!literal.AtEnd()) Refuse("there is more behind its dictionary");
  if (!descr || !order || !shape) Refuse("descr, fortran_order or shape is missing");
  if (order->kind != Value::Kind::kBool) Refuse("fortran_order is neither True nor False");
  return {.dtype = TypeOf(*descr),
          .shape = ShapeOf(*shape),
          .fortran_order = order->number != 0,
          .data_offset = 0};
}

std::string FromLatin1(std::string_view text) {
  std::string utf8;
  for (const char c : text) util::AppendUtf8(utf8, static_cast<unsigned char>(c));
  return utf8;
}

}  // namespace

NpyHeader ParseNpyHeader(std::span<const std::byte> front, uint64_t file_size) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  const std::string_view bytes(reinterpret_cast<const char*>(front.data()), front.size());
  if (!bytes.starts_with(kMagic) || front.size() < kMagic.size() + 2) {
    Refuse("it does not begin as one");
  }
  const auto major = std::to_integer<unsigned>(front[kMagic.size()]);
  const auto minor = std::to_integer<unsigned>(front[kMagic.size() + 1]);
  if (major < 1 || major > 3 || minor != 0) {
    Refuse(fmt::format("version {}.{} is not known", major, minor));
  }
  const size_t at = kMagic.size() + 2;
  const size_t length_size = major == 1 ? sizeof(uint16_t) : sizeof(uint32_t);
  if (front.size() < at + length_size) Refuse("it is cut off");
  const uint64_t length = major == 1 ? util::LoadU16(front, at) : util::LoadU32(front, at);
  const uint64_t offset = at + length_size + length;
  if (offset > file_size) Refuse("it is longer than the file");
  if (offset > std::min<uint64_t>(front.size(), kMostNpyHeader)) {
    Refuse(fmt::format("{} bytes are more than are read", length));
  }
  const auto text = bytes.substr(at + length_size, static_cast<size_t>(length));
  if (major == 3 && !util::IsUtf8(text)) Refuse("it is not UTF-8");
  NpyHeader header = ParseDictionary(major == 3 ? std::string(text) : FromLatin1(text));
  header.data_offset = offset;
  return header;
}

std::string ShapeText(const std::vector<uint64_t>& shape) {
  return fmt::format("({}{})", fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
}

}  // namespace skopsfs::ctl
