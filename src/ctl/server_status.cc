#include "ctl/server_status.h"

#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include <algorithm>
#include <tuple>

#include "util/error.h"
#include "util/json.h"

namespace skopsfs::ctl {
namespace {

using Pool = rapidjson::MemoryPoolAllocator<util::JsonMemory>;
using JsonValue = rapidjson::GenericValue<rapidjson::UTF8<>, Pool>;
using JsonDocument = rapidjson::GenericDocument<rapidjson::UTF8<>, Pool, util::JsonMemory>;

// The value of a key, if it has that type; nullptr otherwise.
const JsonValue* Find(const JsonValue& object, const char* key) {
  if (!object.IsObject()) return nullptr;
  const auto member = object.FindMember(key);
  return member == object.MemberEnd() ? nullptr : &member->value;
}

std::string TextOf(const JsonValue& object, const char* key) {
  const auto* const value = Find(object, key);
  if (value == nullptr || !value->IsString()) return {};
  return {value->GetString(), value->GetStringLength()};
}

uint64_t NumberOf(const JsonValue& object, const char* key) {
  const auto* const value = Find(object, key);
  if (value == nullptr || !value->IsNumber()) return 0;
  if (value->IsUint64()) return value->GetUint64();
  constexpr double kMost = 1e18;
  return static_cast<uint64_t>(std::clamp(value->GetDouble(), 0.0, kMost));
}

bool FlagOf(const JsonValue& object, const char* key, bool otherwise) {
  const auto* const value = Find(object, key);
  return value != nullptr && value->IsBool() ? value->GetBool() : otherwise;
}

ServerStatus::Archive ArchiveOf(const JsonValue& value) {
  return {.path = TextOf(value, "path"),
          .size = NumberOf(value, "size"),
          .state = TextOf(value, "state"),
          .reason = TextOf(value, "reason"),
          .is_current = FlagOf(value, "current", true),
          .was_looked_into = FlagOf(value, "looked_into", true)};
}

bool ReadsAtOpen(const JsonValue& document, const std::vector<std::string>& options) {
  const auto* const counts = Find(document, "counts");
  if (counts == nullptr || Find(*counts, "handles") == nullptr) return false;
  return std::any_of(options.begin(), options.end(), [](std::string_view option) {
    return option.find("verify=open") != std::string_view::npos;
  });
}

}  // namespace

ServerStatus ParseServerStatus(std::string_view json) {
  JsonDocument document;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError()) {
    throw util::Error(EIO, fmt::format("its status is not JSON: {} At byte {}.",
                                       rapidjson::GetParseError_En(document.GetParseError()),
                                       document.GetErrorOffset()));
  }
  if (!document.IsObject()) throw util::Error(EIO, "its status is not an object");
  ServerStatus status{.version = TextOf(document, "version"),
                      .source = TextOf(document, "source"),
                      .pid = NumberOf(document, "pid"),
                      .worker_pid = NumberOf(document, "worker_pid"),
                      .uptime_seconds = NumberOf(document, "uptime_seconds"),
                      .restarts = NumberOf(document, "restarts"),
                      .archives_left_out = NumberOf(document, "archives_left_out")};
  if (const auto* const counts = Find(document, "counts")) {
    status.known = NumberOf(*counts, "archives");
    status.open = NumberOf(*counts, "open");
    status.failed = NumberOf(*counts, "failed");
  }
  const auto* const options = Find(document, "options");
  if (options != nullptr && options->IsArray()) {
    for (const auto& option : options->GetArray()) {
      if (option.IsString()) {
        status.options.emplace_back(option.GetString(), option.GetStringLength());
      }
    }
  }
  status.reads_at_open = ReadsAtOpen(document, status.options);
  const auto* const archives = Find(document, "archives");
  if (archives != nullptr && archives->IsArray()) {
    for (const auto& archive : archives->GetArray()) status.archives.push_back(ArchiveOf(archive));
  }
  std::stable_sort(status.archives.begin(), status.archives.end(),
                   [](const ServerStatus::Archive& a, const ServerStatus::Archive& b) {
                     return std::tie(a.path, b.is_current) < std::tie(b.path, a.is_current);
                   });
  return status;
}

}  // namespace skopsfs::ctl
