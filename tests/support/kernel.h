#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/file_system.h"

namespace skopsfs::testing {

// Calls a FileSystem as the kernel does: walks paths name by name and counts the lookups that it
// must give back. Not thread-safe; have one for each thread.
class Kernel {
 public:
  explicit Kernel(fs::FileSystem& file_system) : fs_(file_system) {}
  ~Kernel() { ForgetAll(); }
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  std::optional<fs::Entry> Lookup(handover::NodeId parent, const std::string& name) {
    auto entry = fs_.Lookup(parent, name);
    if (entry) ++lookups_[entry->node.number()];
    return entry;
  }

  // Nothing where a name on the way is not there.
  std::optional<fs::Entry> Find(std::string_view path) {
    fs::Entry entry{.node = handover::kRoot};
    while (!path.empty()) {
      const auto slash = path.find('/');
      const auto next = Lookup(entry.node, std::string(path.substr(0, slash)));
      if (!next) return std::nullopt;
      entry = *next;
      path = slash == path.npos ? "" : path.substr(slash + 1);
    }
    return entry;
  }
  // Throws std::bad_optional_access where there is no such path.
  handover::NodeId Node(std::string_view path) { return Find(path).value().node; }

  void ForgetAll() {
    for (const auto& [number, count] : lookups_) fs_.Forget(handover::NodeId::From(number), count);
    lookups_.clear();
  }

  struct Item {
    std::string name;
    fs::Entry entry;
    uint64_t next;
  };
  // All entries of a directory, `at_a_time` in one call.
  std::vector<Item> List(handover::NodeId node, bool lookup = false, size_t at_a_time = SIZE_MAX) {
    std::vector<Item> items;
    for (size_t before = SIZE_MAX; before != items.size();) {
      before = items.size();
      fs_.ReadDirectory(node, items.empty() ? 0 : items.back().next, lookup,
                        [&](const fs::DirectoryEntry& entry) {
                          if (items.size() - before == at_a_time) return false;
                          items.push_back({std::string(entry.name), entry.entry, entry.next});
                          return true;
                        });
    }
    for (const auto& item : items) {
      if (lookup && item.name != "." && item.name != "..") ++lookups_[item.entry.node.number()];
    }
    return items;
  }
  // The names in a directory, without "." and "..".
  std::vector<std::string> Names(handover::NodeId node) {
    fs_.OpenDirectory(node);
    std::vector<std::string> names;
    for (const auto& item : List(node)) {
      if (item.name != "." && item.name != "..") names.push_back(item.name);
    }
    return names;
  }

  std::string Read(const fs::Member& member, uint64_t offset, size_t size) {
    std::string bytes(size, '?');
    bytes.resize(fs_.Read(member, offset, std::as_writable_bytes(std::span(bytes))));
    return bytes;
  }
  // All of a member.
  std::string Contents(std::string_view path) {
    const auto node = Node(path);
    const auto size = static_cast<size_t>(fs_.GetAttributes(node).attributes.st_size);
    return Read(fs_.MemberOf(node), 0, size + 1);
  }

 private:
  fs::FileSystem& fs_;
  std::map<uint64_t, uint64_t> lookups_;  // by node
};

}  // namespace skopsfs::testing
