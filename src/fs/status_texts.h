#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "fs/status.h"
#include "util/mutex.h"

namespace skopsfs::fs {

// What one look-up of a file of the hidden directory found.
struct StatusText {
  const StatusFile& file;
  std::string text;
  struct stat attributes {};
};

// What the files of the hidden directory say: each look-up of a name makes a text, which is a node
// of its own until the kernel forgets that. So it has one size, and who reads it in small pieces
// reads one text to its end. Those of a predecessor are gone. Bounded. Thread-safe.
class StatusTexts {
 public:
  // `made` counts the texts of all processes of the mount, so that no node is used again.
  explicit StatusTexts(std::atomic<uint64_t>& made) : made_(made) {}

  // A new node with one lookup, which belongs to whom the source `root` does. Throws
  // util::Error(ENFILE) when there are too many that somebody still has open.
  NodeId Add(const StatusFile& file, std::string text, const struct stat& root);
  // Throws util::Error(EIO), and says so, when it is not there.
  std::shared_ptr<const StatusText> Find(NodeId node);
  void Forget(NodeId node) noexcept;

 private:
  // Of each file, so that who has one open a thousand times keeps nobody from another.
  static constexpr size_t kMost = 1000;
  static constexpr size_t kMostBytes = size_t{64} << 20;

  std::atomic<uint64_t>& made_;
  util::Mutex mutex_;  // no other one is taken while it is held
  // By the index of the node.
  std::map<uint32_t, std::shared_ptr<const StatusText>> known_ GUARDED_BY(mutex_);
};

}  // namespace skopsfs::fs
