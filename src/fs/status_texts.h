#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "fs/status.h"
#include "util/mutex.h"

namespace skopsfs::fs {

// The text that one look-up of a file of the hidden directory has made.
struct StatusText {
  const StatusFile& file;
  std::string text;
  struct stat attributes {};
};

// The texts of the hidden directory. Each look-up of a file makes a text, which is a node of its
// own until the kernel forgets it. So its size is true, and whoever reads it in small pieces reads
// one text to its end. The texts of a predecessor are gone. It owns the texts, and is bounded.
// Thread-safe.
class StatusTexts {
 public:
  // `made` counts the texts of all workers of the mount, so that no node is used again.
  explicit StatusTexts(std::atomic<uint64_t>& made) : made_(made) {}

  // Returns a new node with one lookup. It has the owner of the source's `root`. Throws
  // util::Error(ENFILE) when too many are still open.
  NodeId Add(const StatusFile& file, std::string text, const struct stat& root);
  // Throws util::Error(EIO), and logs it, when the text is not there.
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
