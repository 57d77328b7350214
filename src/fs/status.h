#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/archive_summary.h"
#include "handover/counters.h"
#include "handover/node_id.h"
#include "metrics/prometheus.h"
#include "util/mutex.h"

namespace skopsfs::fs {

using handover::kRoot;
using handover::NodeId;

// The hidden directory in a mount's root, whose files say how the mount is. It can be looked up,
// but is not listed. If the source has something of that name, that is shown instead. The text of a
// file is made anew each time it is looked up, see StatusTexts.
inline constexpr std::string_view kStatusFolder = ".skopsfs";

// Its index in the root's slot is not 1, which is the number of the root. Those above are of texts.
inline constexpr NodeId kStatusFolderNode{.slot = 0, .index = 2};

struct StatusFile {
  enum class Kind { kMetrics, kStatus, kHealth };
  std::string_view name;
  Kind kind;
  mode_t mode;
};
// status.json names archives in folders that not everybody may look into.
inline constexpr std::array<StatusFile, 3> kStatusFiles = {
    {{"metrics", StatusFile::Kind::kMetrics, 0444},
     {"status.json", StatusFile::Kind::kStatus, 0400},
     {"health", StatusFile::Kind::kHealth, 0444}}};

// What stat() says of the directory, and of a file with a text of `size` bytes. They have the owner
// of the source's `root`.
struct stat StatusFolderAttributes(const struct stat& root);
struct stat StatusFileAttributes(NodeId node, const StatusFile& file, size_t size,
                                 const struct stat& root);

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
  // It had one lookup.
  void Forget(NodeId node) noexcept {
    const util::MutexLock lock(mutex_);
    known_.erase(node.index);
  }

 private:
  // Of each file, so that who has one open a thousand times keeps nobody from another.
  static constexpr size_t kMost = 1000;
  static constexpr size_t kMostBytes = size_t{64} << 20;

  std::atomic<uint64_t>& made_;
  util::Mutex mutex_;  // no other one is taken while it is held
  // By the index of the node.
  std::map<uint32_t, std::shared_ptr<const StatusText>> known_ GUARDED_BY(mutex_);
};

// What the status says of a mount that its filesystem does not know.
struct MountFacts {
  metrics::Versions versions;
  std::string mountpoint;
  std::vector<std::string> options;  // of the command line
  pid_t supervisor = 0;
};

// The text of status.json. Bytes of names that are not UTF-8 become U+FFFD.
std::string StatusJson(const MountFacts& facts, const std::string& source, bool source_is_archive,
                       const catalog::ArchiveSummary& summary, const handover::Counters& counters);

}  // namespace skopsfs::fs
