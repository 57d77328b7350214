// The part of FileSystem that shows the hidden directory .skopsfs.

#include "fs/file_system.h"
#include "util/clock.h"
#include "util/effort.h"
#include "util/error.h"

namespace skopsfs::fs {
namespace {

using util::Error;

constexpr size_t kMostArchives = 1000;  // that are told one by one

}  // namespace

// What the source has of that name. Where it cannot be asked, the mount shall say why.
bool FileSystem::SourceHasStatusFolder() {
  const std::string name(kStatusFolder);
  try {
    if (catalog_.source().is_single_archive()) {
      return Locate(kRoot).archive().tree().Find(0, name).has_value();
    }
    const auto& root = catalog_.root();
    return catalog_.Examine(*root, catalog_.OpenFolder(*root), name).has_value();
  } catch (const Error&) {
    return false;
  }
}

Entry FileSystem::StatusEntry(NodeId node) {
  return {.node = node,
          .attributes = StatusAttributes(node, catalog_.root()->st),
          .entry_timeout = options_.revalidate,
          .attribute_timeout = kForever};
}

catalog::Census FileSystem::CountArchives(size_t most) {
  auto census = catalog_.TakeCensus(most);
  counters_.archives_open = census.open;
  counters_.archives_idle = census.idle;
  counters_.archives_failed = census.failed;
  counters_.versions_superseded = census.superseded;
  counters_.handles = census.handles;
  counters_.descriptors = catalog_.open_files();
  counters_.descriptors_limit = catalog_.most_open_files();
  counters_.index_bytes = catalog_.index_bytes();
  counters_.decoder_bytes = decoders_.bytes();
  counters_.decoder_bytes_limit = options_.decoder_bytes;
  counters_.updated = util::RealNow();
  return census;
}

std::string FileSystem::StatusText(NodeId node) {
  switch (static_cast<StatusNode>(node.index)) {
    case StatusNode::kMetrics:
      CountArchives(0);
      return metrics::PrometheusText(counters_, {options_.facts.versions, catalog_.source().path(),
                                                 options_.facts.mountpoint});
    case StatusNode::kStatus:
      return StatusJson(options_.facts, catalog_.source().path(),
                        catalog_.source().is_single_archive(), CountArchives(kMostArchives),
                        counters_);
    case StatusNode::kHealth:
      // A source that hangs must not take one thread after the other.
      util::CheckEffort(util::Effort::kOpen, node.slot);
      catalog_.CheckSource();
      return "ok\n";
    case StatusNode::kFolder:
      throw Error(EISDIR, "a directory");
  }
  throw Error(ESTALE, "no such node");
}

}  // namespace skopsfs::fs
