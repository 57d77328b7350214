#include "by_name/object_tree.h"

#include "util/error.h"

namespace skopsfs::by_name {

using util::Error;

const std::string* ObjectTree::Find(std::string_view text) const {
  const auto found = texts_.find(text);
  return found == texts_.end() ? nullptr : &*found;
}

const std::string* ObjectTree::Keep(std::string_view text) {
  if (const std::string* const known = Find(text)) return known;
  text_bytes_ += text.size();
  if (text_bytes_ > kMostNameBytes)
    throw Error(EFBIG, "schema.json has longer names than the limit");
  return &*texts_.emplace(text).first;
}

ObjectIndex ObjectTree::Add(const Object& object) {
  if (dropped_ != kNone) {
    const ObjectIndex index = dropped_;
    dropped_ = objects_[index].next;
    objects_[index] = object;
    return index;
  }
  if (objects_.size() == kMostObjects) {
    throw Error(EFBIG, "schema.json has more objects than the limit");
  }
  objects_.push_back(object);
  return static_cast<ObjectIndex>(objects_.size() - 1);
}

void ObjectTree::Drop(ObjectIndex index) {
  objects_[index] = {.next = dropped_};
  dropped_ = index;
}

void ObjectTree::Append(Siblings& siblings, ObjectIndex added) {
  objects_[added].next = kNone;
  if (siblings.empty()) {
    siblings.first = added;
  } else {
    objects_[siblings.last].next = added;
  }
  siblings.last = added;
}

}  // namespace skopsfs::by_name
