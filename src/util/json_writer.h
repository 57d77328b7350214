#pragma once

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "util/json_memory.h"
#include "util/utf8.h"

namespace skopsfs::util {

// Writes one JSON document on one line, in the order of the calls. Text may be any bytes, as paths
// may; what is no UTF-8 is replaced. Not thread-safe.
class JsonWriter {
 public:
  JsonWriter& BeginObject() { return Done(writer_.StartObject()); }
  JsonWriter& EndObject() { return Done(writer_.EndObject()); }
  JsonWriter& BeginArray() { return Done(writer_.StartArray()); }
  JsonWriter& EndArray() { return Done(writer_.EndArray()); }
  JsonWriter& Key(std::string_view name) {
    return Done(writer_.Key(name.data(), static_cast<rapidjson::SizeType>(name.size())));
  }
  JsonWriter& Text(std::string_view text) {
    const std::string utf8 = ReplaceInvalidUtf8(text);
    return Done(writer_.String(utf8.data(), static_cast<rapidjson::SizeType>(utf8.size())));
  }
  JsonWriter& Number(uint64_t number) { return Done(writer_.Uint64(number)); }
  JsonWriter& Real(double number) { return Done(writer_.Double(number)); }
  JsonWriter& Bool(bool value) { return Done(writer_.Bool(value)); }
  JsonWriter& Null() { return Done(writer_.Null()); }

  // What was written since it was taken last.
  std::string Take() {
    std::string written(buffer_.GetString(), buffer_.GetSize());
    buffer_.Clear();
    return written;
  }
  std::string Line() { return Take() + "\n"; }

 private:
  JsonWriter& Done(bool /*written*/) { return *this; }

  using Utf8 = rapidjson::UTF8<>;
  using Buffer = rapidjson::GenericStringBuffer<Utf8, JsonMemory>;

  Buffer buffer_;
  rapidjson::Writer<Buffer, Utf8, Utf8, JsonMemory> writer_{buffer_};
};

}  // namespace skopsfs::util
