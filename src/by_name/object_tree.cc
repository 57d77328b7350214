#include "by_name/object_tree.h"

#include <fmt/format.h>
#include <rapidjson/error/en.h>
#include <rapidjson/reader.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <unordered_set>
#include <utility>

#include "by_name/safe_name.h"
#include "util/error.h"

namespace skopsfs::by_name {
namespace {

using util::Error;

constexpr size_t kDeepest = 1000;      // of JSON; where Python's parser gives up, too
constexpr size_t kLongestText = 1024;  // of a name in JSON; file names have 255 bytes

// What RapidJSON reads from.
class Stream {
 public:
  using Ch = char;

  explicit Stream(const ReadSchema& read) : read_(read) { Refill(); }

  Ch Peek() const { return at_ < size_ ? buffer_[at_] : '\0'; }
  Ch Take() {
    const Ch taken = Peek();
    if (at_ < size_ && ++at_ == size_) Refill();
    return taken;
  }
  // RapidJSON takes a NUL for the end.
  bool is_at_end() const { return at_ == size_; }
  size_t Tell() const { return before_ + at_; }
  // For parsing in place, which this is not.
  Ch* PutBegin() { return nullptr; }
  void Put(Ch) {}
  size_t PutEnd(Ch*) { return 0; }

 private:
  void Refill() {
    before_ += size_;
    at_ = 0;
    size_ = read_(buffer_);
  }

  const ReadSchema& read_;
  std::array<char, size_t{64} << 10> buffer_;
  size_t at_ = 0;
  size_t size_ = 0;
  size_t before_ = 0;  // bytes of what was in the buffer earlier
};

// The text that a JsonNode keeps, which is JSON again; nothing when it is no text.
std::optional<std::string> TextIn(const std::string& json) {
  struct Handler : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, Handler> {
    bool Default() { return false; }
    bool String(const char* text, rapidjson::SizeType size, bool) {
      found.emplace(text, size);
      return true;
    }
    std::optional<std::string> found;
  };
  if (!json.starts_with('"')) return std::nullopt;
  Handler handler;
  rapidjson::StringStream stream(json.c_str());
  rapidjson::Reader().Parse<rapidjson::kParseValidateEncodingFlag>(stream, handler);
  return handler.found;
}

// An object or array of the JSON that is being read.
struct Frame {
  bool is_array = false;
  std::string key;  // of the value that comes next, in an object
  Object object;    // what is known of it so far

  // Of an object: what skops says of it.
  std::optional<std::string> loader;
  std::string file;
  std::string json;  // its content, where that is text

  // Of an array: of its values so far. Of an object: of its content, if that is an array.
  size_t count = 0;
  std::optional<std::string> first_text;
  // Of an array, the first texts of its values, for as long as they all have different ones and two
  // values at least.
  std::vector<std::string> names;
  bool are_pairs = true;  // and no more than two
};

// What an object or array that ends means to the one around it.
struct Value {
  Object object;
  size_t count = 0;                            // values, of a list or tuple
  std::optional<std::string> first_text = {};  // the first of these
  std::optional<std::string> text = {};        // it is one
};

// Takes the events of RapidJSON.
class Handler : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, Handler> {
 public:
  explicit Handler(const FindMember& find) : find_(find) {}

  Object Take() { return std::move(root_); }

  bool Default() {
    if (!frames_.empty()) Add({});
    return true;
  }

  bool Key(const char* text, rapidjson::SizeType size, bool) {
    frames_.back().key.assign(text, size);
    return true;
  }

  bool String(const char* text, rapidjson::SizeType size, bool) {
    if (frames_.empty()) return true;
    Frame& frame = frames_.back();
    const std::string_view value(text, size);
    if (!frame.is_array) {
      if (frame.key == "__loader__") frame.loader = value.substr(0, kLongestText);
      if (frame.key == "file") frame.file = value.substr(0, kLongestText);
      if (frame.key == "content" && size <= kLongestText) frame.json = value;
    }
    return Default();
  }

  bool RawNumber(const char* text, rapidjson::SizeType size, bool) {
    if (!frames_.empty() && frames_.back().key == "__id__") {
      frames_.back().object.id = std::strtoull(std::string(text, size).c_str(), nullptr, 10);
    }
    return Default();
  }

  bool StartObject() { return Start(false); }
  bool StartArray() { return Start(true); }

  bool EndObject(rapidjson::SizeType) {
    Frame frame = Pop();
    return End(frame.loader ? NodeOf(std::move(frame)) : Value{.object = std::move(frame.object)});
  }

  bool EndArray(rapidjson::SizeType) {
    Frame frame = Pop();
    if (frame.names.size() == frame.count) UseNames(frame);
    return End({.object = std::move(frame.object),
                .count = frame.count,
                .first_text = std::move(frame.first_text)});
  }

 private:
  bool Start(bool is_array) {
    if (frames_.size() == kDeepest) throw Error(EFBIG, "schema.json is nested too deeply");
    frames_.emplace_back().is_array = is_array;
    return true;
  }

  Frame Pop() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    return frame;
  }

  bool End(Value value) {
    if (frames_.empty()) {
      root_ = std::move(value.object);
    } else {
      Add(std::move(value));
    }
    return true;
  }

  // Adds a value to the object or array that it lies in.
  void Add(Value value) {
    Frame& frame = frames_.back();
    const size_t number = frame.count;
    if (frame.is_array) {
      ++frame.count;
      if (number == 0) frame.first_text = std::move(value.text);
      // Only while all have had one.
      if (frame.names.size() == number && value.first_text && value.count > 1) {
        frame.names.push_back(std::move(*value.first_text));
        frame.are_pairs = frame.are_pairs && value.count == 2;
      }
    } else if (frame.key == "content") {
      frame.count = value.count;
      frame.first_text = std::move(value.first_text);
    }
    if (!value.object.leads_to_members()) return;
    if (++kept_ > kMostObjects) throw Error(EFBIG, "schema.json has more objects than the limit");
    value.object.name = frame.is_array ? std::to_string(number) : frame.key;
    frame.object.children.push_back(std::move(value.object));
  }

  // Calls the values of a list of tuples by the first text of each.
  static void UseNames(Frame& frame) {
    std::unordered_set<std::string_view> seen;
    for (const auto& name : frame.names) {
      if (SafeName(name) != name || !seen.insert(name).second) return;
    }
    for (auto& child : frame.object.children) {
      const size_t number = std::stoul(child.name);
      // Of a pair there is nothing but the value to be seen.
      if (frame.are_pairs && child.children.size() == 1 && child.children[0].name == "1") {
        Object only = std::move(child.children[0]);
        child = std::move(only);
      }
      child.name = frame.names[number];
    }
  }

  // What an object of skops' own is, once all of it has been read.
  Value NodeOf(Frame frame) {
    Value value;
    Object& object = value.object;
    object.id = frame.object.id;
    if (*frame.loader == "JsonNode") value.text = TextIn(frame.json);
    if (*frame.loader == "TupleNode" || *frame.loader == "ListNode") {
      value.count = frame.count;
      value.first_text = std::move(frame.first_text);
    }
    object.is_reference = *frame.loader == "CachedNode" && object.id != 0;
    if (!frame.file.empty()) {
      if (const auto member = find_(frame.file)) {
        object.member = member->index;
        object.suffix = SuffixOf(member->name);
        return value;
      }
    }
    const bool wraps_a_dict =
        *frame.loader == "DefaultDictNode" || *frame.loader == "_DictWithDeprecatedKeysNode";
    bool wraps_one = false;  // object that has nothing around it
    for (auto& child : frame.object.children) {
      const bool is_wrapper = child.name == "content" || child.name == "__reduce__";
      if (!is_wrapper || child.children.empty()) {
        wraps_one = wraps_one || is_wrapper;
        object.children.push_back(std::move(child));
        continue;
      }
      for (auto& part : child.children) {
        if (wraps_a_dict && part.name == "main") {
          std::move(part.children.begin(), part.children.end(),
                    std::back_inserter(object.children));
        } else {
          object.children.push_back(std::move(part));
        }
      }
    }
    if (wraps_one && object.children.size() == 1) {
      Object only = std::move(object.children[0]);
      object = std::move(only);
    }
    return value;
  }

  static std::string_view SuffixOf(std::string_view name) {
    constexpr size_t kLongest = 16;
    const auto dot = name.rfind('.');
    if (dot == std::string_view::npos || name.size() - dot > kLongest) return {};
    const auto suffix = name.substr(dot);
    return SafeName(suffix) == suffix ? suffix : std::string_view();
  }

  const FindMember& find_;
  std::vector<Frame> frames_;
  size_t kept_ = 0;  // objects, those that were unwrapped since among them
  Object root_;
};

}  // namespace

Object ReadObjects(const ReadSchema& read, const FindMember& find) {
  constexpr unsigned kFlags =
      rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag |
      rapidjson::kParseNumbersAsStringsFlag | rapidjson::kParseNanAndInfFlag;  // as Python's json
  Stream stream(read);
  Handler handler(find);
  const rapidjson::ParseResult result = rapidjson::Reader().Parse<kFlags>(stream, handler);
  const auto fail = [&](std::string_view why) {
    throw Error(EIO, fmt::format("schema.json is no JSON: {} At byte {}.", why, stream.Tell()));
  };
  if (!result) fail(rapidjson::GetParseError_En(result.Code()));
  if (!stream.is_at_end()) fail("There is more behind it.");
  return handler.Take();
}

}  // namespace skopsfs::by_name
