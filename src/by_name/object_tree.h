#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skopsfs::by_name {

// An object of a model that is kept in a member, or that others lead to members from.
struct Object {
  static constexpr uint32_t kNoMember = std::numeric_limits<uint32_t>::max();

  std::string name;  // as the object that holds it calls it: an attribute, a key, a number
  uint32_t member = kNoMember;        // index of the member that it is kept in
  std::string_view suffix = {};       // of that member's name, with the dot
  uint64_t id = 0;                    // by which the schema refers to it again; 0: none
  bool is_reference = false;          // to the object of that id
  std::vector<Object> children = {};  // only those that lead to members

  bool is_member() const { return member != kNoMember; }
  bool leads_to_members() const { return is_member() || is_reference || !children.empty(); }
};

inline constexpr size_t kMostObjects = size_t{1} << 21;  // that lead to members

// Gives the next bytes of a schema; fewer than fit only at its end.
using ReadSchema = std::function<size_t(std::span<char> out)>;
struct Member {
  uint32_t index;
  std::string_view name;  // its own; what is made of it refers to this one
};
// Nothing when there is no member of that path.
using FindMember = std::function<std::optional<Member>(std::string_view path)>;

// Reads a schema.json as skops writes it (protocols 0 to 2, and later ones that look alike), piece
// by piece. What keeps no array and leads to none is dropped on the way. Levels that only the
// format has do not show: an estimator's attributes are its children, whatever its state was
// wrapped in. A list of (name, value) tuples is named by these if they are all different and safe.
// Throws util::Error(EIO) where it is no such schema, (EFBIG) where it is nested deeper than Python
// reads or has more objects than fit into kMostObjects.
Object ReadObjects(const ReadSchema& read, const FindMember& find);

}  // namespace skopsfs::by_name
