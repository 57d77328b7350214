#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "util/utf8.h"

namespace skopsfs::differential {

// `text` as a JSON string. Bytes of what is not UTF-8 are given as the characters of the same
// numbers.
inline std::string JsonString(std::string_view text) {
  const bool utf8 = util::IsUtf8(text);
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !utf8)) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out + '"';
}

// Builds one JSON object, field by field.
class JsonObject {
 public:
  JsonObject& Text(std::string_view key, std::string_view value) {
    return Raw(key, JsonString(value));
  }
  JsonObject& Number(std::string_view key, int64_t value) {
    return Raw(key, std::to_string(value));
  }
  // `json` is a JSON value already.
  JsonObject& Raw(std::string_view key, std::string_view json) {
    fields_ += fmt::format("{}{}:{}", fields_.empty() ? "" : ",", JsonString(key), json);
    return *this;
  }
  std::string Str() const { return "{" + fields_ + "}"; }

 private:
  std::string fields_;
};

// The same for a list.
class JsonList {
 public:
  JsonList& Raw(std::string_view json) {
    if (!items_.empty()) items_ += ',';
    items_ += json;
    return *this;
  }
  JsonList& Text(std::string_view value) { return Raw(JsonString(value)); }
  std::string Str() const { return "[" + items_ + "]"; }

 private:
  std::string items_;
};

}  // namespace skopsfs::differential
