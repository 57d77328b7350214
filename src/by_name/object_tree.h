#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_set>

namespace skopsfs::by_name {

using ObjectIndex = uint32_t;
inline constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

// A linked list of objects in an ObjectTree.
struct Siblings {
  ObjectIndex first = kNone;
  ObjectIndex last = kNone;

  bool empty() const { return first == kNone; }
  bool is_one() const { return !empty() && first == last; }
};

// An object of a model: one that is kept in a member, or that holds others that lead to members.
struct Object {
  uint64_t id = 0;                      // by which the schema refers to it again; 0: none
  const std::string* name = nullptr;    // an attribute or a key; else it has a number
  const std::string* suffix = nullptr;  // of its member's name, with the dot
  uint32_t number = 0;                  // in the list that holds it
  uint32_t member = kNone;              // index of the member that it is kept in
  Siblings children = {};               // only those that lead to members
  ObjectIndex next = kNone;             // its sibling
  bool is_reference = false;            // to the object of that id

  bool is_member() const { return member != kNone; }
  bool leads_to_members() const { return is_member() || is_reference || !children.empty(); }
};

// The objects of a schema, as a tree. It owns them and their names. It is bounded: it throws
// util::Error(EFBIG) for more. Not thread-safe.
class ObjectTree {
 public:
  static constexpr uint32_t kMostObjects = 450'000;
  static constexpr size_t kMostNameBytes = size_t{8} << 20;  // of all different names

  Object root;

  const Object& At(ObjectIndex index) const { return objects_[index]; }
  Object& At(ObjectIndex index) { return objects_[index]; }
  std::string NameOf(const Object& object) const {
    return object.name != nullptr ? *object.name : std::to_string(object.number);
  }

  // Keeps each text once, so that its address tells it from others.
  const std::string* Keep(std::string_view text);
  const std::string* Find(std::string_view text) const;  // nullptr where it is not kept

  ObjectIndex Add(const Object& object);
  void Drop(ObjectIndex index);  // which nothing leads to any more
  // `added` is in no other list.
  void Append(Siblings& siblings, ObjectIndex added);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };

  std::deque<Object> objects_;
  ObjectIndex dropped_ = kNone;  // the first of a list of those that can be used again
  std::unordered_set<std::string, Hash, std::equal_to<>> texts_;
  size_t text_bytes_ = 0;
};

}  // namespace skopsfs::by_name
