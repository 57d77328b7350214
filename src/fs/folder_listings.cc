#include "fs/folder_listings.h"

#include <algorithm>
#include <tuple>

#include "util/hash.h"

namespace skopsfs::fs {
namespace {

// By a hash of the name.
std::vector<NameAt> AtPositions(std::vector<std::string> names) {
  constexpr uint64_t kMost = INT64_MAX / 2;
  std::vector<NameAt> found;
  found.reserve(names.size());
  for (auto& name : names) {
    const uint64_t hash = util::Hash().Add(name).value();
    found.push_back({kFirstChild + hash % kMost, std::move(name)});
  }
  std::sort(found.begin(), found.end(), [](const NameAt& a, const NameAt& b) {
    return std::tie(a.position, a.name) < std::tie(b.position, b.name);
  });
  for (size_t i = 1; i < found.size(); ++i) {
    found[i].position = std::max(found[i].position, found[i - 1].position + 1);
  }
  return found;
}

}  // namespace

FolderListings::Names FolderListings::Find(uint64_t slot_id) {
  const util::MutexLock lock(mutex_);
  const auto known = known_.find(slot_id);
  if (known == known_.end()) return nullptr;
  known->second.used = ticks_;
  return known->second.names;
}

FolderListings::Names FolderListings::Add(uint64_t slot_id, std::vector<std::string> names) {
  auto listing = std::make_shared<const std::vector<NameAt>>(AtPositions(std::move(names)));
  std::map<uint64_t, Known> old;  // destroyed after the lock
  const util::MutexLock lock(mutex_);
  if (names_ + listing->size() > kMostNames) {
    old.swap(known_);
    names_ = 0;
  }
  auto& known = known_[slot_id];
  if (known.names) names_ -= known.names->size();
  names_ += listing->size();
  known = {listing, ticks_};
  return listing;
}

void FolderListings::Tidy() {
  const util::MutexLock lock(mutex_);
  ++ticks_;
  std::erase_if(known_, [&](const auto& item) REQUIRES(mutex_) {
    if (item.second.used + 2 > ticks_) return false;
    names_ -= item.second.names->size();
    return true;
  });
}

}  // namespace skopsfs::fs
