#pragma once

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <string_view>

#include "util/utf8.h"

namespace skopsfs::util {

// An allocator for RapidJSON that throws when there is no memory. RapidJSON's own returns nullptr,
// which RapidJSON then writes to.
class JsonMemory {
 public:
  static constexpr bool kNeedFree = true;

  void* Malloc(size_t size) { return size == 0 ? nullptr : Checked(std::malloc(size)); }
  void* Realloc(void* old, size_t /*old_size*/, size_t size) {
    if (size > 0) return Checked(std::realloc(old, size));
    std::free(old);
    return nullptr;
  }
  static void Free(void* memory) { std::free(memory); }

 private:
  static void* Checked(void* memory) {
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }
};

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
  JsonWriter& TextOrNull(std::string_view text) { return text.empty() ? Null() : Text(text); }
  JsonWriter& NumberOrNull(const std::optional<uint64_t>& number) {
    return number ? Number(*number) : Null();
  }

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
