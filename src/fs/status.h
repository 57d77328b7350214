#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/archive_summary.h"
#include "handover/counters.h"
#include "handover/node_id.h"
#include "metrics/prometheus.h"

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
