#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/census.h"
#include "fs/node_id.h"
#include "metrics/counters.h"
#include "metrics/prometheus.h"

namespace skopsfs::fs {

// The hidden directory in a mount's root in which the mount says how it is: it can be looked up,
// but is not listed, and what the source itself has of that name comes first. Its files are made
// anew each time they are opened, and have the size 0, as those in /proc.
inline constexpr std::string_view kStatusFolder = ".skopsfs";

// The indexes of its nodes in the root's slot. Not 1, which is the number of the root.
enum class StatusNode : uint32_t { kFolder = 2, kMetrics, kStatus, kHealth };

struct StatusFile {
  std::string_view name;
  StatusNode node;
  mode_t mode;
};
// status.json names archives in folders that not everybody may look into.
inline constexpr std::array<StatusFile, 3> kStatusFiles = {
    {{"metrics", StatusNode::kMetrics, 0444},
     {"status.json", StatusNode::kStatus, 0400},
     {"health", StatusNode::kHealth, 0444}}};

inline NodeId NodeOf(StatusNode node) { return {.slot = 0, .index = static_cast<uint32_t>(node)}; }

// Nothing when it has no such file.
std::optional<NodeId> FindStatusFile(std::string_view name);

// What stat() says of one of its nodes; the files belong to whom the source `root` does. Throws
// util::Error(ESTALE) when there is no such node.
struct stat StatusAttributes(NodeId node, const struct stat& root);

// What a mount is, besides what its filesystem knows.
struct MountFacts {
  metrics::Versions versions;
  std::string mountpoint;
  std::vector<std::string> options;  // of the command line
  pid_t supervisor = 0;
};

// The text of status.json. Bytes of names that are not UTF-8 become U+FFFD.
std::string StatusJson(const MountFacts& facts, const std::string& source, bool source_is_archive,
                       const catalog::Census& census, const metrics::Counters& counters);

}  // namespace skopsfs::fs
