#include "by_name/schema_reader.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "by_name/json_reader.h"
#include "by_name/safe_name.h"
#include "util/error.h"
#include "util/number.h"
#include "zip/limits.h"

namespace skopsfs::by_name {
namespace {

using Event = JsonReader::Event;

constexpr size_t kLongestContent = 1024;  // of a name, as JSON
constexpr size_t kMostKeyBytes = size_t{8} << 20;

// The text that a JsonNode keeps, which is JSON again; nothing when it is no text.
std::optional<std::string> TextIn(std::string_view json) {
  if (!json.starts_with('"')) return std::nullopt;
  const ReadSchema read = [&](std::span<char> out) {
    const auto part = json.substr(0, out.size());
    std::copy(part.begin(), part.end(), out.begin());
    json.remove_prefix(part.size());
    return part.size();
  };
  CodePoints input(read, CodePoints::Encoding::kUtf8);
  JsonReader reader(input);
  try {
    reader.Next();
    std::string text = reader.text();
    if (reader.Next() == Event::kDone) return text;
  } catch (const util::Error&) {
    // It is no JSON, so no text.
  }
  return std::nullopt;
}

std::string_view SuffixOf(std::string_view name) {
  constexpr size_t kLongest = 16;
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos || name.size() - dot > kLongest) return {};
  const auto suffix = name.substr(dot);
  return SafeName(suffix) == suffix ? suffix : std::string_view();
}

// What skops says that an object of its own is.
enum class Loader : uint8_t { kNone, kOther, kText, kSequence, kReference, kAroundDict };

Loader LoaderOf(std::string_view name) {
  if (name == "JsonNode") return Loader::kText;
  if (name == "TupleNode" || name == "ListNode") return Loader::kSequence;
  if (name == "CachedNode") return Loader::kReference;
  if (name == "DefaultDictNode" || name == "_DictWithDeprecatedKeysNode") {
    return Loader::kAroundDict;
  }
  return Loader::kOther;
}

// What of a list says whether its values have names of their own.
struct List {
  size_t count = 0;                            // values
  std::optional<std::string> first_text = {};  // the first of these
};

// What an object or array that ends means to the one around it.
struct Value {
  Object object;
  List list = {};         // of a list or tuple
  std::string json = {};  // of a text
};

// An object or array of the JSON that is being read.
struct Frame {
  Frame(bool array, size_t key_begin) : is_array(array), key(key_begin) {}

  bool is_array;
  size_t key;         // where it begins, in an object
  Siblings children;  // what is known of it so far
  List list;          // of an array its values so far, of an object its content

  // Of an object: what skops says of it.
  Loader loader = Loader::kNone;
  uint64_t id = 0;
  std::optional<Member> member;
  std::string missing;      // the front of the name of one that is not there
  std::string json;         // its content, where that is text
  bool may_repeat = false;  // children of one name

  // Of an array.
  bool are_named = true;  // all values so far are lists of two or more that begin with a text
  bool are_pairs = true;  // and of no more than two
};

// Takes the events of a schema. What it keeps of them is bounded by the limits of the ObjectTree,
// of the JsonReader, and by kMostKeyBytes.
class Reader {
 public:
  Reader(ObjectTree& tree, const FindMember& find, const ReportMissing& missing)
      : tree_(tree), find_(find), missing_(missing) {}

  void Read(JsonReader& json) {
    while (true) {
      const Event event = json.Next();
      switch (event) {
        case Event::kDone:
          return;
        case Event::kObject:
        case Event::kArray:
          frames_.emplace_back(event == Event::kArray, keys_.size());
          break;
        case Event::kKey:
          Key(json.text());
          break;
        case Event::kEnd:
          End();
          break;
        case Event::kText:
          if (!frames_.empty() && !json.is_cut()) Text(json.text());
          Add({});
          break;
        case Event::kNumber:
          if (!frames_.empty()) Number(json.text());
          Add({});
          break;
        case Event::kLiteral:
          Add({});
          break;
      }
    }
  }

 private:
  // Of the frame on top.
  std::string_view key() const { return std::string_view(keys_).substr(frames_.back().key); }

  // Of values with the same key the last one counts.
  void Key(const std::string& text) {
    Frame& frame = frames_.back();
    keys_.resize(frame.key);
    keys_ += text;
    if (keys_.size() > kMostKeyBytes) {
      throw util::Error(EFBIG, "schema.json has longer keys than the limit");
    }
    if (text == "__loader__") frame.loader = Loader::kNone;
    if (text == "__id__") frame.id = 0;
    if (text == "file") {
      frame.member.reset();
      frame.missing.clear();
    }
    if (text == "content") {
      frame.json.clear();
      frame.list = {};
    }
  }

  void Text(const std::string& text) {
    Frame& frame = frames_.back();
    if (frame.is_array) return;
    if (key() == "__loader__") frame.loader = LoaderOf(text);
    if (key() == "content" && text.size() <= kLongestContent) frame.json = text;
    if (key() == "file" && !text.empty()) {
      frame.member = find_(text);
      if (!frame.member) frame.missing = text.substr(0, zip::kLongestComponent);
    }
  }

  void Number(const std::string& text) {
    Frame& frame = frames_.back();
    if (frame.is_array || key() != "__id__") return;
    frame.id = util::ParseNumber<uint64_t>(text).value_or(frame.id);
  }

  void End() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    keys_.resize(frame.key);
    if (frame.may_repeat) DropRepeated(frame);
    if (frame.is_array) {
      NameValues(frame);
    } else if (frame.loader != Loader::kNone) {
      return Add(NodeOf(frame));
    }
    Add({.object = {.children = frame.children}, .list = std::move(frame.list)});
  }

  // Adds a value to the object or array that it lies in.
  void Add(Value value) {
    if (frames_.empty()) {
      tree_.root = value.object;
    } else if (frames_.back().is_array) {
      AddToArray(std::move(value));
    } else {
      AddToObject(std::move(value));
    }
  }

  void AddToArray(Value value) {
    Frame& frame = frames_.back();
    const size_t number = frame.list.count++;
    if (number == 0) frame.list.first_text = TextIn(value.json);
    frame.are_named = frame.are_named && value.list.first_text && value.list.count > 1;
    frame.are_pairs = frame.are_pairs && value.list.count == 2;
    if (!value.object.leads_to_members()) return;
    value.object.number = static_cast<uint32_t>(number);
    if (frame.are_named) {
      const std::string& name = *value.list.first_text;
      frame.are_named = name.size() <= zip::kLongestComponent && SafeName(name) == name;
      if (frame.are_named) value.object.name = tree_.Keep(name);
    }
    tree_.Append(frame.children, tree_.Add(value.object));
  }

  void AddToObject(Value value) {
    Frame& frame = frames_.back();
    if (key() == "content") frame.list = std::move(value.list);
    const std::string* const known = tree_.Find(key());
    const bool may_replace = known != nullptr && !frame.children.empty();
    if (!value.object.leads_to_members() && !may_replace) return;
    frame.may_repeat = frame.may_repeat || may_replace;
    value.object.name = known != nullptr ? known : tree_.Keep(key());
    tree_.Append(frame.children, tree_.Add(value.object));
  }

  // As in a dict of Python, where the last value of a key counts, in the place of the first one.
  void DropRepeated(Frame& frame) {
    std::unordered_map<const std::string*, ObjectIndex> first;
    Siblings all = std::exchange(frame.children, {});
    ForEach(all, [&](ObjectIndex index) {
      const auto [known, is_new] = first.try_emplace(tree_.At(index).name, index);
      if (is_new) return tree_.Append(frame.children, index);
      Object& place = tree_.At(known->second);
      const ObjectIndex next = std::exchange(place, tree_.At(index)).next;
      place.next = next;
      tree_.Drop(index);
    });
    all = std::exchange(frame.children, {});
    ForEach(all, [&](ObjectIndex index) {
      tree_.At(index).leads_to_members() ? tree_.Append(frame.children, index) : tree_.Drop(index);
    });
  }

  template <typename Use>
  void ForEach(const Siblings& siblings, const Use& use) {
    for (ObjectIndex at = siblings.first; at != kNone;) {
      const ObjectIndex next = tree_.At(at).next;
      use(at);
      at = next;
    }
  }

  // Calls the values of a list of tuples by the first text of each, or all of them by their
  // numbers.
  void NameValues(const Frame& frame) {
    std::unordered_set<const std::string*> seen;
    bool are_named = frame.are_named;
    ForEach(frame.children, [&](ObjectIndex index) {
      are_named = are_named && seen.insert(tree_.At(index).name).second;
    });
    ForEach(frame.children, [&](ObjectIndex index) {
      Object& object = tree_.At(index);
      if (!are_named) {
        object.name = nullptr;
      } else if (frame.are_pairs && object.children.is_one() &&
                 tree_.At(object.children.first).name == nullptr &&
                 tree_.At(object.children.first).number == 1) {
        // Of a pair there is nothing but the value to be seen.
        PutInPlace(object, object.children.first);
      }
    });
  }

  // Makes `object` what its only child is, but for its name.
  void PutInPlace(Object& object, ObjectIndex only) {
    const Object child = tree_.At(only);
    tree_.Drop(only);
    object.id = child.id;
    object.suffix = child.suffix;
    object.member = child.member;
    object.children = child.children;
    object.is_reference = child.is_reference;
  }

  // What an object of skops' own is, once all of it has been read.
  Value NodeOf(Frame& frame) {
    Value value;
    Object& object = value.object;
    object.id = frame.id;
    if (frame.loader == Loader::kText) value.json = std::move(frame.json);
    if (frame.loader == Loader::kSequence) value.list = std::move(frame.list);
    object.is_reference = frame.loader == Loader::kReference && object.id != 0;
    if (!frame.missing.empty()) missing_(frame.missing);
    if (frame.member) {
      object.member = frame.member->index;
      object.suffix = tree_.Keep(SuffixOf(frame.member->name));
      return value;
    }
    bool wraps_one = false;  // object that has nothing around it
    ForEach(frame.children, [&](ObjectIndex index) {
      const std::string& name = *tree_.At(index).name;
      const bool is_wrapper = name == "content" || name == "__reduce__";
      const Siblings parts = tree_.At(index).children;
      if (!is_wrapper || parts.empty()) {
        wraps_one = wraps_one || is_wrapper;
        return tree_.Append(object.children, index);
      }
      tree_.Drop(index);
      ForEach(parts,
              [&](ObjectIndex part) { Unwrap(object, part, frame.loader == Loader::kAroundDict); });
    });
    if (wraps_one && object.children.is_one()) PutInPlace(object, object.children.first);
    return value;
  }

  void Unwrap(Object& object, ObjectIndex part, bool is_around_dict) {
    const auto* const name = tree_.At(part).name;
    if (!is_around_dict || name == nullptr || *name != "main") {
      return tree_.Append(object.children, part);
    }
    const Siblings items = tree_.At(part).children;
    tree_.Drop(part);
    ForEach(items, [&](ObjectIndex item) { tree_.Append(object.children, item); });
  }

  ObjectTree& tree_;
  const FindMember& find_;
  const ReportMissing& missing_;
  std::vector<Frame> frames_;
  std::string keys_;  // of all frames, one after the other
};

}  // namespace

ObjectTree ReadObjects(const ReadSchema& read, const FindMember& find,
                       const ReportMissing& missing) {
  ObjectTree tree;
  CodePoints input(read);
  JsonReader json(input);
  Reader(tree, find, missing).Read(json);
  return tree;
}

}  // namespace skopsfs::by_name
