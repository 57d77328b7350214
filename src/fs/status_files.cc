// The part of FileSystem that shows the hidden directory .skopsfs.

#include <algorithm>

#include "fs/file_system.h"
#include "util/clock.h"
#include "util/effort.h"

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
    return catalog_.FindChild(*root, catalog_.OpenFolder(*root), name).has_value();
  } catch (const Error&) {
    return false;
  }
}

std::optional<Entry> FileSystem::LookupStatus(const std::string& name) {
  const auto* const file = std::find_if(kStatusFiles.begin(), kStatusFiles.end(),
                                        [&](const auto& known) { return known.name == name; });
  if (file == kStatusFiles.end()) return std::nullopt;
  const NodeId node = status_texts_.Add(*file, MakeStatusText(file->kind), catalog_.root()->st);
  return Entry{.node = node,
               .attributes = status_texts_.Find(node)->attributes,
               .attribute_timeout = kForever};
}

catalog::ArchiveSummary FileSystem::CountArchives(size_t most) {
  auto summary = catalog_.SummarizeArchives(most);
  counters_.archives_open = summary.open;
  counters_.archives_idle = summary.idle;
  counters_.archives_failed = summary.failed;
  counters_.versions_superseded = summary.superseded;
  const auto& open = catalog_.open_archives();
  counters_.descriptors = open.open_files();
  counters_.descriptors_limit = open.budget().descriptors;
  counters_.index_bytes = open.index_bytes();
  counters_.decoder_bytes = decoders_.bytes();
  counters_.decoder_bytes_limit = options_.decoder_bytes;
  counters_.updated = util::RealNow();
  return summary;
}

std::string FileSystem::MakeStatusText(StatusFile::Kind kind) {
  switch (kind) {
    case StatusFile::Kind::kMetrics:
      CountArchives(0);
      return metrics::PrometheusText(counters_, {options_.facts.versions, catalog_.source().path(),
                                                 options_.facts.mountpoint});
    case StatusFile::Kind::kStatus:
      return StatusJson(options_.facts, catalog_.source().path(),
                        catalog_.source().is_single_archive(), CountArchives(kMostArchives),
                        counters_);
    case StatusFile::Kind::kHealth:
      break;
  }
  // A source that hangs must not take one thread after the other.
  util::CheckEffort(util::Effort::kOpen, 0);
  catalog_.CheckSource();
  return "ok\n";
}

std::shared_ptr<const StatusText> FileSystem::StatusTextOf(NodeId node) {
  if (node == kStatusFolderNode) throw Error(EISDIR, "a directory");
  return status_texts_.Find(node);
}

}  // namespace skopsfs::fs
