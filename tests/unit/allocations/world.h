#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/file_system.h"

namespace skopsfs::fs {

class Keeper : public catalog::DescriptorStore {
 public:
  uint64_t Keep(uint64_t, int) noexcept override { return ++kept, ++last_; }
  void Drop(uint64_t) noexcept override { --kept; }

  int kept = 0;

 private:
  uint64_t last_ = 0;
};

// A filesystem, and what a call on it has given.
struct World {
  World(const std::string& source, FileSystem::Options options)
      : fs(source, options, std::make_unique<handover::SlotStore>(), &keeper), bytes(1 << 20) {
    given.reserve(1000);
  }

  // As the kernel does; what it was given counts.
  NodeId Walk(const std::string& path) {
    NodeId at_node = kRoot;
    for (size_t start = 0; start < path.size();) {
      const size_t end = std::min(path.find('/', start), path.size());
      at_node = fs.Lookup(at_node, path.substr(start, end - start)).value().node;
      given.push_back(at_node);
      start = end + 1;
    }
    return at_node;
  }
  // What is left of it when the kernel has let go of all.
  std::string Leftovers() {
    member.reset();
    status.reset();
    for (const auto known : given) fs.Forget(known, 1);
    given.clear();
    for (int i = 0; i < 4; ++i) fs.Tidy();
    auto& catalog = fs.catalog();
    std::string left;
    const auto add = [&](const char* what, size_t count) {
      if (count > 0) left += std::string(" ") + what + " " + std::to_string(count);
    };
    add("slots", catalog.slots().All().size() - 1);
    add("open files", catalog.open_archives().open_files());
    add("bytes of indexes", catalog.open_archives().index_bytes());
    add("kept descriptors", static_cast<size_t>(keeper.kept));
    return left;
  }
  std::string Result() const {
    std::string text;
    const auto add = [&](const struct stat& st) {
      text += std::to_string(st.st_ino) + " " + std::to_string(st.st_size) + " " +
              std::to_string(st.st_mode) + ";";
    };
    if (entry) add(entry->attributes);
    if (attributes) add(attributes->attributes);
    text += value + std::string(reinterpret_cast<const char*>(bytes.data()), got);
    for (size_t i = 0; i < listed; ++i) text += std::to_string(inodes[i]) + " ";
    return text;
  }
  void Take() {
    if (entry) given.push_back(entry->node);
    for (size_t i = 0; i < looked_up; ++i) given.push_back(nodes[i]);
    looked_up = 0;
  }
  void Reset() {
    entry.reset();
    attributes.reset();
    status.reset();
    value.clear();
    got = listed = 0;
  }

  Keeper keeper;
  FileSystem fs;
  std::vector<NodeId> given;
  NodeId node;                   // what the call is about
  std::optional<Member> member;  // that it reads
  std::shared_ptr<const StatusText> status;
  // Results. None of them is allocated by the call.
  std::optional<Entry> entry;
  std::optional<Attributes> attributes;
  std::string value;
  std::vector<std::byte> bytes;
  size_t got = 0;
  std::array<NodeId, 64> nodes;
  std::array<ino_t, 64> inodes;
  size_t looked_up = 0;
  size_t listed = 0;
};

}  // namespace skopsfs::fs
