#pragma once

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "util/json_memory.h"
#include "util/utf8.h"

namespace skopsfs::ctl {

// Writes one JSON document, on one line, in the order of the calls. Text may be any bytes, as paths
// may: what is no UTF-8 is replaced.
class Json {
 public:
  Json& BeginObject() { return Done(writer_.StartObject()); }
  Json& EndObject() { return Done(writer_.EndObject()); }
  Json& BeginArray() { return Done(writer_.StartArray()); }
  Json& EndArray() { return Done(writer_.EndArray()); }
  Json& Key(std::string_view name) {
    return Done(writer_.Key(name.data(), static_cast<rapidjson::SizeType>(name.size())));
  }
  Json& Text(std::string_view text) {
    const std::string utf8 = util::ReplaceInvalidUtf8(text);
    return Done(writer_.String(utf8.data(), static_cast<rapidjson::SizeType>(utf8.size())));
  }
  Json& Number(uint64_t number) { return Done(writer_.Uint64(number)); }
  Json& Real(double number) { return Done(writer_.Double(number)); }
  Json& Bool(bool value) { return Done(writer_.Bool(value)); }
  Json& Null() { return Done(writer_.Null()); }

  // What was written since it was taken last.
  std::string Take() {
    std::string written(buffer_.GetString(), buffer_.GetSize());
    buffer_.Clear();
    return written;
  }
  std::string Line() { return Take() + "\n"; }

 private:
  Json& Done(bool /*written*/) { return *this; }

  using Utf8 = rapidjson::UTF8<>;
  using Buffer = rapidjson::GenericStringBuffer<Utf8, util::JsonMemory>;

  Buffer buffer_;
  rapidjson::Writer<Buffer, Utf8, Utf8, util::JsonMemory> writer_{buffer_};
};

}  // namespace skopsfs::ctl
