#include "fs/status.h"

#include <unistd.h>

#include <algorithm>

#include "fs/file_system.h"
#include "util/clock.h"
#include "util/effort.h"
#include "util/json.h"

namespace skopsfs::fs {
namespace {

using util::Error;
using util::JsonWriter;
using State = catalog::ArchiveStatus::State;

constexpr size_t kMostArchives = 1000;  // that status.json tells one by one
constexpr uint32_t kFirst = kStatusFolderNode.index + 1;
constexpr uint64_t kRoom = (uint64_t{1} << NodeId::kIndexBits) - kFirst;

double Seconds(int64_t nanoseconds) {
  constexpr double kSecond = 1e9;
  return static_cast<double>(nanoseconds) / kSecond;
}

const char* NameOf(State state) {
  if (state == State::kOpen) return "open";
  return state == State::kFailed ? "failed" : "idle";
}

void AddMount(JsonWriter& json, const MountFacts& facts, const std::string& source,
              bool source_is_archive, const handover::Counters& counters) {
  const int64_t now = util::RealNow();
  json.Key("version").Text(facts.versions.skopsfs);
  json.Key("pid").Number(static_cast<uint64_t>(facts.supervisor));
  json.Key("worker_pid").Number(static_cast<uint64_t>(getpid()));
  json.Key("started").Real(Seconds(counters.started));
  json.Key("uptime_seconds").Real(Seconds(now - std::clamp<int64_t>(counters.started, 0, now)));
  json.Key("restarts").Number(counters.restarts);
  json.Key("source").Text(source);
  json.Key("source_is_archive").Bool(source_is_archive);
  json.Key("mountpoint").Text(facts.mountpoint);
  json.Key("options").BeginArray();
  for (const auto& option : facts.options) json.Text(option);
  json.EndArray();
}

void AddCounts(JsonWriter& json, const catalog::ArchiveSummary& summary,
               const handover::Counters& counters) {
  json.Key("counts").BeginObject();
  json.Key("archives").Number(summary.open + summary.idle + summary.failed);
  json.Key("open").Number(summary.open);
  json.Key("failed").Number(summary.failed);
  json.Key("superseded").Number(summary.superseded);
  json.Key("descriptors").Number(counters.descriptors);
  json.Key("descriptors_limit").Number(counters.descriptors_limit);
  json.Key("index_bytes").Number(counters.index_bytes);
  json.Key("decoder_bytes").Number(counters.decoder_bytes);
  json.Key("decoder_bytes_limit").Number(counters.decoder_bytes_limit);
  json.EndObject();
}

void AddArchives(JsonWriter& json, const catalog::ArchiveSummary& summary) {
  json.Key("archives").BeginArray();
  for (const auto& archive : summary.archives) {
    json.BeginObject();
    json.Key("path").Text(archive.path);
    json.Key("size").Number(archive.size);
    json.Key("state").Text(NameOf(archive.state));
    json.Key("current").Bool(archive.is_current);
    json.Key("looked_into").Bool(archive.was_looked_into);
    if (!archive.reason.empty()) json.Key("reason").Text(archive.reason);
    json.EndObject();
  }
  json.EndArray();
  json.Key("archives_left_out").Number(summary.left_out);
}

}  // namespace

struct stat StatusFolderAttributes(const struct stat& root) {
  constexpr mode_t kMode = S_IFDIR | 0555;
  struct stat st {};
  st.st_ino = kStatusFolderNode.number();
  st.st_uid = root.st_uid;
  st.st_gid = root.st_gid;
  st.st_mtim = st.st_ctim = st.st_atim = root.st_mtim;
  st.st_mode = kMode;
  st.st_nlink = 2;
  return st;
}

struct stat StatusFileAttributes(NodeId node, const StatusFile& file, size_t size,
                                 const struct stat& root) {
  constexpr int64_t kSecond = 1'000'000'000;
  struct stat st = StatusFolderAttributes(root);
  const int64_t now = util::RealNow();
  st.st_ino = node.number();
  st.st_mtim = st.st_ctim = st.st_atim = {.tv_sec = now / kSecond, .tv_nsec = now % kSecond};
  st.st_mode = S_IFREG | file.mode;
  st.st_nlink = 1;
  st.st_size = static_cast<off_t>(size);
  return st;
}

NodeId StatusTexts::Add(const StatusFile& file, std::string text, const struct stat& root) {
  const util::MutexLock lock(mutex_);
  size_t texts = 0;
  size_t bytes = text.size();
  for (const auto& [index, known] : known_) {
    if (known->file.kind != file.kind) continue;
    ++texts;
    bytes += known->text.size();
  }
  if (texts >= kMost || bytes > kMostBytes) {
    throw Error(ENFILE, "too many files of .skopsfs are open");
  }
  NodeId node;
  do {
    node.index = static_cast<uint32_t>(kFirst + made_++ % kRoom);
  } while (known_.contains(node.index));
  const auto attributes = StatusFileAttributes(node, file, text.size(), root);
  known_[node.index] =
      std::make_shared<const StatusText>(StatusText{file, std::move(text), attributes});
  return node;
}

std::shared_ptr<const StatusText> StatusTexts::Find(NodeId node) {
  const util::MutexLock lock(mutex_);
  const auto known = known_.find(node.index);
  if (known != known_.end()) return known->second;
  util::LogWarning("{}: a file opened before another worker took over can no longer be read",
                   kStatusFolder);
  throw Error(EIO, "the worker that made it is gone");
}

std::string StatusJson(const MountFacts& facts, const std::string& source, bool source_is_archive,
                       const catalog::ArchiveSummary& summary, const handover::Counters& counters) {
  JsonWriter json;
  json.BeginObject();
  AddMount(json, facts, source, source_is_archive, counters);
  AddCounts(json, summary, counters);
  AddArchives(json, summary);
  return json.EndObject().Line();
}

// --- the part of FileSystem that shows it ---

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
  auto summary = catalog::SummarizeArchives(catalog_.slots().All(), most);
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
