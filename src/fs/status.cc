#include "fs/status.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <unistd.h>

#include <algorithm>

#include "util/clock.h"
#include "util/json_memory.h"
#include "util/utf8.h"

namespace skopsfs::fs {
namespace {

using Utf8 = rapidjson::UTF8<>;
using Buffer = rapidjson::GenericStringBuffer<Utf8, util::JsonMemory>;
using Json = rapidjson::Writer<Buffer, Utf8, Utf8, util::JsonMemory>;
using State = catalog::ArchiveSeen::State;

void Text(Json& json, std::string_view text) {
  const std::string valid = util::ReplaceInvalidUtf8(text);
  json.String(valid.data(), static_cast<rapidjson::SizeType>(valid.size()));
}

void Text(Json& json, const char* key, std::string_view value) {
  json.Key(key);
  Text(json, value);
}

void Number(Json& json, const char* key, uint64_t value) {
  json.Key(key);
  json.Uint64(value);
}

void Seconds(Json& json, const char* key, int64_t nanoseconds) {
  constexpr double kSecond = 1e9;
  json.Key(key);
  json.Double(static_cast<double>(nanoseconds) / kSecond);
}

void Bool(Json& json, const char* key, bool value) {
  json.Key(key);
  json.Bool(value);
}

const char* NameOf(State state) {
  switch (state) {
    case State::kOpen:
      return "open";
    case State::kFailed:
      return "failed";
    default:
      return "idle";
  }
}

void AddMount(Json& json, const MountFacts& facts, const std::string& source,
              bool source_is_archive, const handover::Counters& counters) {
  Text(json, "version", facts.versions.skopsfs);
  Number(json, "pid", static_cast<uint64_t>(facts.supervisor));
  Number(json, "worker_pid", static_cast<uint64_t>(getpid()));
  Seconds(json, "started", counters.started);
  Seconds(json, "uptime_seconds", std::max<int64_t>(util::RealNow() - counters.started, 0));
  Number(json, "restarts", counters.restarts);
  Text(json, "source", source);
  Bool(json, "source_is_archive", source_is_archive);
  Text(json, "mountpoint", facts.mountpoint);
  json.Key("options");
  json.StartArray();
  for (const auto& option : facts.options) Text(json, option);
  json.EndArray();
}

void AddCounts(Json& json, const catalog::Census& census, const handover::Counters& counters) {
  json.Key("counts");
  json.StartObject();
  Number(json, "archives", census.open + census.idle + census.failed);
  Number(json, "open", census.open);
  Number(json, "failed", census.failed);
  Number(json, "superseded", census.superseded);
  Number(json, "descriptors", counters.descriptors);
  Number(json, "descriptors_limit", counters.descriptors_limit);
  Number(json, "index_bytes", counters.index_bytes);
  Number(json, "decoder_bytes", counters.decoder_bytes);
  Number(json, "decoder_bytes_limit", counters.decoder_bytes_limit);
  json.EndObject();
}

void AddArchives(Json& json, const catalog::Census& census) {
  json.Key("archives");
  json.StartArray();
  for (const auto& archive : census.archives) {
    json.StartObject();
    Text(json, "path", archive.path);
    Number(json, "size", archive.size);
    Text(json, "state", NameOf(archive.state));
    Bool(json, "current", archive.is_current);
    Bool(json, "looked_into", archive.was_looked_into);
    if (!archive.reason.empty()) Text(json, "reason", archive.reason);
    json.EndObject();
  }
  json.EndArray();
  Number(json, "archives_left_out", census.left_out);
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

std::string StatusJson(const MountFacts& facts, const std::string& source, bool source_is_archive,
                       const catalog::Census& census, const handover::Counters& counters) {
  Buffer text;
  Json json(text);
  json.StartObject();
  AddMount(json, facts, source, source_is_archive, counters);
  AddCounts(json, census, counters);
  AddArchives(json, census);
  json.EndObject();
  return std::string(text.GetString(), text.GetSize()) + "\n";
}

}  // namespace skopsfs::fs
