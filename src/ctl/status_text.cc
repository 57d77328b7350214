// What `skopsfsctl status` prints.

#include <fmt/format.h>
#include <unistd.h>

#include "ctl/status.h"
#include "ctl/text.h"
#include "util/json.h"
#include "util/log.h"

namespace skopsfs::ctl {
namespace {

std::string SizeOrUnknown(const std::optional<uint64_t>& bytes) {
  return bytes ? SizeText(*bytes) : "-";
}

std::string HeadOf(const MountReport& report) {
  const auto& status = report.answer.status;
  const auto& mount = report.mount;
  if (!report.answer.problem.empty()) {
    return fmt::format("{}: {}: {}\n", NameText(mount.mountpoint), NameText(mount.source),
                       util::Printable(report.answer.problem));
  }
  return fmt::format("{}: {}, skopsfs {}, up {}, {}, {} ({} open, {} failed)\n",
                     NameText(mount.mountpoint), NameText(status.source), NameText(status.version),
                     DurationText(status.uptime_seconds), CountText(status.restarts, "restart"),
                     CountText(status.known, "archive"), status.open, status.failed);
}

std::string NameOf(const ServerStatus::Archive& archive) {
  return archive.path.empty() ? "(the archive)" : NameText(archive.path);
}

// Where not all processes are seen, there may be more; when none is seen, nothing is known.
std::string AtLeast(std::string text, const ArchiveUse& use, bool sees_all) {
  if (sees_all) return text;
  return use.processes.empty() || text == "-" ? "-" : text + "+";
}

std::string TableOf(const MountReport& report, bool sees_all) {
  Columns columns({{"ARCHIVE"},
                   {"SIZE", true},
                   {"STATE"},
                   {"RESIDENT", true},
                   {"PROCESSES", true},
                   {"SAVED", true}});
  std::vector<std::vector<std::string>> rows;
  const auto add = [&](std::string name, std::string size, std::string state,
                       const ArchiveUse& use) {
    rows.push_back({std::move(name), std::move(size), std::move(state), SizeOrUnknown(use.resident),
                    AtLeast(std::to_string(use.processes.size()), use, sees_all),
                    AtLeast(SizeOrUnknown(use.saved()), use, sees_all)});
    columns.Measure(rows.back());
  };
  const auto& archives = report.answer.status.archives;
  for (size_t i = 0; i < archives.size(); ++i) {
    const auto& archive = archives[i];
    add(NameOf(archive), SizeText(archive.size),
        NameText(archive.state) + (archive.is_current ? "" : ", replaced"), report.uses[i]);
  }
  if (!report.other.processes.empty()) add("(others)", "", "", report.other);
  std::string text;
  for (const auto& row : rows) text += columns.Line(row, "  ");
  return text.empty() ? text : columns.TitleLine("  ") + text;
}

std::string ProcessesOf(const std::string& name, const ArchiveUse& use, const Mappings& mappings) {
  std::string text;
  for (const pid_t pid : use.processes) {
    const auto process = mappings.names.find(pid);
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", pid,
                        process != mappings.names.end() ? NameText(process->second) : "");
  }
  return text.empty() ? "" : fmt::format("  {}: {}\n", name, text);
}

std::string ProcessesOf(const MountReport& report, const Mappings& mappings) {
  std::string text;
  const auto& archives = report.answer.status.archives;
  for (size_t i = 0; i < archives.size(); ++i) {
    text += ProcessesOf(NameOf(archives[i]) + (archives[i].is_current ? "" : ", replaced"),
                        report.uses[i], mappings);
  }
  return text + ProcessesOf("(others)", report.other, mappings);
}

std::string NotesOn(const MountReport& report) {
  std::string text;
  const auto& status = report.answer.status;
  for (const auto& archive : status.archives) {
    if (archive.reason.empty()) continue;
    text += fmt::format("  {}: {}\n", NameOf(archive), util::Printable(archive.reason));
  }
  if (status.archives_left_out > 0) {
    text += fmt::format("  {} more not listed\n", CountText(status.archives_left_out, "archive"));
  }
  if (report.answer.has_more) text += "  there are more, which nobody has looked at\n";
  if (status.reads_at_open) {
    text +=
        "  resident bytes are not looked at: its server is older, and with verify=open it would "
        "read every member\n";
  }
  if (report.answer.is_silent && report.answer.problem.empty()) {
    text += "  it stopped answering while it was looked at\n";
  }
  return text;
}

void AddUse(util::JsonWriter& json, const ArchiveUse& use, bool sees_all) {
  json.Key("resident_bytes").NumberOrNull(use.resident).Key("processes");
  if (use.processes.empty() && !sees_all) {
    json.Null();
  } else {
    json.BeginArray();
    for (const pid_t pid : use.processes) json.Number(static_cast<uint64_t>(pid));
    json.EndArray();
  }
  json.Key("mapped_bytes").Number(use.mapped);
  json.Key("saved_bytes").NumberOrNull(sees_all ? use.saved() : std::nullopt);
}

void AddMount(util::JsonWriter& json, const MountReport& report, bool sees_all) {
  const auto& answer = report.answer;
  const auto& status = answer.status;
  json.BeginObject().Key("mountpoint").Text(report.mount.mountpoint);
  json.Key("source").Text(status.source.empty() ? report.mount.source : status.source);
  json.Key("problem").TextOrNull(answer.problem);
  json.Key("version").Text(status.version).Key("pid").Number(status.pid);
  json.Key("worker_pid").Number(status.worker_pid);
  json.Key("uptime_seconds").Number(status.uptime_seconds);
  json.Key("restarts").Number(status.restarts).Key("open").Number(status.open);
  json.Key("failed").Number(status.failed).Key("archives").BeginArray();
  for (size_t i = 0; i < status.archives.size(); ++i) {
    const auto& archive = status.archives[i];
    json.BeginObject().Key("path").Text(archive.path).Key("size").Number(archive.size);
    json.Key("state").Text(archive.state).Key("current").Bool(archive.is_current);
    if (!archive.reason.empty()) json.Key("reason").Text(archive.reason);
    AddUse(json, report.uses[i], sees_all);
    json.EndObject();
  }
  json.EndArray().Key("archives_left_out").Number(status.archives_left_out);
  json.Key("more_archives").Bool(answer.has_more);
  json.Key("other").BeginObject();
  AddUse(json, report.other, sees_all);
  json.EndObject().EndObject();
}

}  // namespace

std::string StatusText(const std::vector<MountReport>& reports, const Mappings& mappings,
                       bool with_processes) {
  if (reports.empty()) return "no mount of skopsfs\n";
  std::string text;
  const bool sees_all = mappings.are_of_all_processes;
  for (const auto& report : reports) {
    text += (text.empty() ? "" : "\n") + HeadOf(report);
    if (!report.answer.problem.empty()) continue;
    text += TableOf(report, sees_all);
    if (with_processes) text += ProcessesOf(report, mappings);
    text += NotesOn(report);
  }
  if (mappings.unknown > 0) {
    text += fmt::format(
        "\n{} could not be looked at, and may map more{}\n",
        mappings.unknown == 1 ? "1 process" : fmt::format("{} processes", mappings.unknown),
        geteuid() == 0 ? "" : "; those of others are for root");
  }
  if (!sees_all) {
    text +=
        "\nprocesses outside of this PID namespace, as in other containers, are not seen: ask on "
        "the host\n";
  }
  return text;
}

std::string StatusJson(const std::vector<MountReport>& reports, const Mappings& mappings) {
  util::JsonWriter json;
  json.BeginObject().Key("mounts").BeginArray();
  for (const auto& report : reports) AddMount(json, report, mappings.are_of_all_processes);
  json.EndArray().Key("process_names").BeginObject();
  for (const auto& [pid, name] : mappings.names) json.Key(std::to_string(pid)).Text(name);
  json.EndObject().Key("unknown_processes").Number(mappings.unknown);
  return json.Key("sees_all_processes").Bool(mappings.are_of_all_processes).EndObject().Line();
}

}  // namespace skopsfs::ctl
