#include "ctl/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "ctl/mappings.h"
#include "ctl/mounts.h"
#include "ctl/server_status.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace skopsfs::ctl {
namespace {

using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr uint64_t kMiB = 1 << 20;

constexpr auto kStatus = R"({
  "version": "0.1.0", "pid": 10, "worker_pid": 11, "started": 1700000000, "uptime_seconds": 7380,
  "restarts": 2, "source": "/models", "source_is_archive": false, "mountpoint": "/mnt/skops",
  "options": ["-o", "allow_other"],
  "counts": {"archives": 4, "open": 2, "failed": 1, "superseded": 1},
  "archives": [
    {"path": "bad.skops", "size": 5, "state": "failed", "current": true,
     "reason": "not a ZIP archive"},
    {"path": "a.skops", "size": 4194304, "state": "open", "current": true},
    {"path": "a.skops", "size": 2097152, "state": "open", "current": false},
    {"path": "sub/a.skops", "size": 1048576, "state": "idle", "current": true}],
  "archives_left_out": 7})";

TEST(ServerStatus, IsParsed) {
  const auto status = ParseServerStatus(kStatus);
  EXPECT_EQ(status.version, "0.1.0");
  EXPECT_EQ(status.source, "/models");
  EXPECT_EQ(status.uptime_seconds, 7380);
  EXPECT_EQ(status.restarts, 2);
  EXPECT_EQ(status.known, 4);
  EXPECT_EQ(status.open, 2);
  EXPECT_EQ(status.archives_left_out, 7);
  EXPECT_THAT(status.options, ElementsAre("-o", "allow_other"));
  ASSERT_THAT(status.archives, SizeIs(4));
  // Sorted, though the server has the failed ones first.
  EXPECT_TRUE(status.archives[0].is_current);
  EXPECT_FALSE(status.archives[1].is_current);
  EXPECT_EQ(status.archives[2].reason, "not a ZIP archive");
  EXPECT_EQ(status.archives[3].path, "sub/a.skops");
}

TEST(ServerStatus, WhatIsMissingOrOddIsEmpty) {
  const auto status = ParseServerStatus(
      R"({"version": 1, "uptime_seconds": 1.5, "restarts": -3, "archives": [7, {}], "options": {}})");
  EXPECT_EQ(status.version, "");
  EXPECT_EQ(status.uptime_seconds, 1);
  EXPECT_EQ(status.restarts, 0);
  EXPECT_THAT(status.archives, SizeIs(2));
  EXPECT_TRUE(status.archives[1].is_current);
}

TEST(ServerStatus, WhatIsNone) {
  EXPECT_EQ(ErrnoOf([] { ParseServerStatus(""); }), EIO);
  EXPECT_EQ(ErrnoOf([] { ParseServerStatus("[]"); }), EIO);
  EXPECT_EQ(ErrnoOf([] { ParseServerStatus("{\"version\": \"0.1"); }), EIO);
  EXPECT_EQ(ErrnoOf([] { ParseServerStatus(std::string(1 << 20, '[')); }), EIO);
}

TEST(ServerStatus, WhetherAMemberIsReadWhenItIsOpened) {
  const auto reads = [](const std::string& counts, const std::string& options) {
    return ParseServerStatus("{\"counts\": {" + counts + "}, \"options\": [" + options + "]}")
        .reads_at_open;
  };
  const std::string older = R"("archives": 1, "handles": 0)";
  const std::string ours = R"("archives": 1)";
  EXPECT_TRUE(reads(older, R"("--verify=open")"));
  EXPECT_TRUE(reads(older, R"("-o", "ro,verify=open")"));
  EXPECT_FALSE(reads(older, R"("--verify=read")"));  // there its default
  EXPECT_FALSE(reads(ours, R"("--verify=open")"));
  EXPECT_FALSE(reads(ours, R"("--verify=read")"));
  EXPECT_FALSE(ParseServerStatus(R"({"options": ["--verify=open"]})").reads_at_open);
}

TEST(Mounts, OfSkopsfsOnly) {
  const auto mounts = FindMounts(util::ParseMountTable(
      "22 1 0:20 / /proc rw - proc proc rw\n"
      "40 1 0:50 / /mnt/with\\040space ro,nosuid shared:5 - fuse.skopsfs /models ro,user_id=0\n"
      "41 1 0:51 /sub /mnt/part ro - fuse.skopsfs /mo\\134dels ro\n"
      "42 1 0:52 / /mnt/csi ro - fuse /dev/fuse ro\n"
      "43 1 0:53 / /mnt/other ro - fuse.sshfs host: ro\n"));
  ASSERT_THAT(mounts, SizeIs(3));
  EXPECT_TRUE(IsCertain(mounts[1]));
  EXPECT_FALSE(IsCertain(mounts[2]));
  EXPECT_FALSE(IsOnMount(mounts, makedev(0, 52)));
  EXPECT_EQ(mounts[0].mountpoint, "/mnt/with space");
  EXPECT_EQ(mounts[0].source, "/models");
  EXPECT_EQ(mounts[0].device, makedev(0, 50));
  EXPECT_EQ(mounts[0].root, "/");
  EXPECT_EQ(mounts[1].source, "/mo\\dels");
  EXPECT_EQ(mounts[1].root, "/sub");
  EXPECT_TRUE(IsOnMount(mounts, makedev(0, 51)));
  EXPECT_FALSE(IsOnMount(mounts, makedev(0, 20)));
}

TEST(Mounts, CoveredOnesAreLeftOut) {
  EXPECT_THAT(FindMounts(util::ParseMountTable("40 1 0:50 / /mnt/a ro - fuse.skopsfs /models ro\n"
                                               "41 40 0:52 / /mnt/a rw - tmpfs tmpfs rw\n")),
              IsEmpty());
  EXPECT_THAT(FindMounts({}), IsEmpty());
}

constexpr auto kSmaps =
    "55d0c0000000-55d0c0001000 r--p 00000000 fe:00 1234                       /usr/bin/python3\n"
    "Rss:                   4 kB\n"
    "7f0000000000-7f0000400000 r--s 00000000 00:32 99                         /mnt/skops/a.skops/1 "
    "2.npy\n"
    "Size:               4096 kB\n"
    "Rss:                2048 kB\n"
    "Anonymous:           512 kB\n"
    "VmFlags: rd mr\n"
    "7f0000500000-7f0000600000 rw-p 00000000 00:00 0 \n"
    "Rss:                1024 kB\n";

TEST(Mappings, OfTheDevicesAskedFor) {
  const auto found = ParseMappings(kSmaps, {makedev(0, 0x32)});
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].inode, 99);
  EXPECT_EQ(found[0].path, "/mnt/skops/a.skops/1 2.npy");
  EXPECT_EQ(found[0].resident, 1536 << 10);
  EXPECT_THAT(ParseMappings(kSmaps, {makedev(0, 0x33)}), IsEmpty());
}

TEST(Mappings, OfAllProcesses) {
  const testing::TempFolder proc;
  for (const auto* pid : {"7", "8", "self"}) {
    std::filesystem::create_directory(proc / pid);
    testing::WriteFile(proc / (std::string(pid) + "/maps"), kSmaps);
    testing::WriteFile(proc / (std::string(pid) + "/smaps"), kSmaps);
    testing::WriteFile(proc / (std::string(pid) + "/comm"), "program\n");
  }
  std::filesystem::create_directory(proc / "9");  // which ends just now
  const auto mappings = ReadMappings({makedev(0, 0x32)}, proc.path().string());
  ASSERT_THAT(mappings.all, SizeIs(2));
  EXPECT_EQ(mappings.all[0].pid, 7);
  EXPECT_EQ(mappings.all[1].pid, 8);
  EXPECT_EQ(mappings.unknown, 0);
  EXPECT_EQ(mappings.names.at(8), "program");
  EXPECT_TRUE(mappings.are_of_all_processes);
}

// As in a container, where only some are seen.
TEST(Mappings, OfThoseOfANamespace) {
  const testing::TempFolder proc;
  for (const auto* pid : {"1", "self"})
    std::filesystem::create_directories(proc / (std::string(pid) + "/ns"));
  std::filesystem::create_symlink("pid:[4026531836]", proc / "self/ns/pid");
  EXPECT_TRUE(ReadMappings({}, proc.path().string()).are_of_all_processes);
  std::filesystem::create_symlink("pid:[4026532456]", proc / "1/ns/pid");
  EXPECT_FALSE(ReadMappings({}, proc.path().string()).are_of_all_processes);
}

// Two processes map 3 MiB and 2 MiB of a.skops, one the version before it, one an archive that is
// not listed.
MountReport ReportOfFour() {
  const dev_t device = makedev(0, 50);
  MountAnswer answer{.status = ParseServerStatus(kStatus),
                     .members = {{0, 100, 3 * kMiB}, {0, 101, kMiB / 2}, {0, 100, 3 * kMiB}},
                     .looked_at = {true, false, false, true}};
  return MakeReport({.device = device, .mountpoint = "/mnt/skops", .source = "/models"},
                    std::move(answer),
                    {{1, device, 100, "/mnt/skops/a.skops/1.npy", 3 * kMiB},
                     {2, device, 100, "/elsewhere/a.skops/1.npy", 2 * kMiB},
                     {2, device, 101, "/elsewhere/a.skops/2.npy", 0},
                     {3, device, 55, "/mnt/skops/a.skops/1.npy", kMiB},
                     {4, device, 56, "/mnt/skops/x.skops/1.npy", kMiB},
                     {5, makedev(0, 51), 100, "/mnt/other/a.skops/1.npy", kMiB}});
}

TEST(Status, ProcessesAndWhatIsSaved) {
  const auto report = ReportOfFour();
  EXPECT_EQ(report.uses[0].resident, 3 * kMiB + kMiB / 2);
  EXPECT_THAT(report.uses[0].processes, ElementsAre(1, 2));
  EXPECT_EQ(report.uses[0].saved(), kMiB + kMiB / 2);
  EXPECT_THAT(report.uses[1].processes, ElementsAre(3));
  EXPECT_EQ(report.uses[1].saved(), std::nullopt);
  EXPECT_EQ(report.uses[3].saved(), 0);
  EXPECT_THAT(report.other.processes, ElementsAre(4));
  EXPECT_EQ(report.uses[2].resident, std::nullopt);
}

// A mount of one archive, of which all members are known, and the mappings of one process.
MountReport ReportOfOne(const std::vector<Mapping>& mappings) {
  MountAnswer answer{.status = ParseServerStatus(R"({"archives": [{"path": "a.skops"}]})"),
                     .members = {{0, 100, 3 * kMiB}},
                     .looked_at = {true}};
  return MakeReport({.mountpoint = "/mnt"}, std::move(answer), mappings);
}

TEST(Status, OneProcessAloneSavesNothing) {
  const Mapping twice{.pid = 1, .inode = 100, .path = "/mnt/a.skops/1", .resident = 3 * kMiB};
  const auto report = ReportOfOne({twice, twice});
  EXPECT_EQ(report.uses[0].mapped, 3 * kMiB);
  EXPECT_EQ(report.uses[0].saved(), 0);
  const auto parts = ReportOfOne({{1, 0, 100, "/mnt/a.skops/1", kMiB},
                                  {1, 0, 100, "/mnt/a.skops/1", kMiB},
                                  {2, 0, 100, "/mnt/a.skops/1", 3 * kMiB}});
  EXPECT_EQ(parts.uses[0].mapped, 5 * kMiB);
  EXPECT_EQ(parts.uses[0].saved(), 2 * kMiB);
}

// The server has not seen yet that it was replaced.
TEST(Status, MapsOfAnOldVersionAreNotOfTheNewOne) {
  const auto report = ReportOfOne({{1, 0, 99, "/mnt/a.skops/1", kMiB}});
  EXPECT_TRUE(report.uses[0].processes.empty());
  EXPECT_THAT(report.other.processes, ElementsAre(1));
}

TEST(Status, ProcessesByName) {
  const auto report = ReportOfOne({{7, 0, 100, "/mnt/a.skops/1", kMiB}, {8, 0, 100, "", 0}});
  const Mappings mappings{.names = {{7, "gunicorn"}, {8, "a\nb"}}};
  EXPECT_THAT(StatusText({report}, mappings, true),
              HasSubstr("\n  a.skops: 7 gunicorn, 8 \"a\\x0ab\"\n"));
  EXPECT_THAT(StatusText({report}, mappings, false), Not(HasSubstr("gunicorn")));
  EXPECT_THAT(StatusJson({report}, mappings),
              HasSubstr(R"("process_names":{"7":"gunicorn","8":"a\nb"})"));
}

TEST(Status, WhereNotAllProcessesAreSeen) {
  const Mappings mappings{.are_of_all_processes = false};
  const auto none = StatusText({ReportOfOne({})}, mappings, false);
  EXPECT_THAT(none, ContainsRegex("a\\.skops .* - +-\n"));
  EXPECT_THAT(none, HasSubstr("processes outside of this PID namespace"));
  const auto some =
      StatusText({ReportOfOne({{7, 0, 100, "/mnt/a.skops/1", kMiB}})}, mappings, false);
  EXPECT_THAT(some, ContainsRegex("a\\.skops .* 1\\+ +0 B\\+\n"));
  EXPECT_THAT(StatusJson({ReportOfOne({})}, mappings),
              HasSubstr(R"("processes":null,"mapped_bytes":0,"saved_bytes":null)"));
}

TEST(Status, AsATable) {
  EXPECT_EQ(StatusText({ReportOfFour()}, {.unknown = 1}, false),
            "/mnt/skops: /models, skopsfs 0.1.0, up 2 h 03 min, 2 restarts, 4 archives (2 open, 1 "
            "failed)\n"
            "  ARCHIVE         SIZE  STATE           RESIDENT  PROCESSES    SAVED\n"
            "  a.skops      4.0 MiB  open             3.5 MiB          2  1.5 MiB\n"
            "  a.skops      2.0 MiB  open, replaced         -          1        -\n"
            "  bad.skops        5 B  failed                 -          0        -\n"
            "  sub/a.skops  1.0 MiB  idle                 0 B          0      0 B\n"
            "  (others)                                     -          1        -\n"
            "  bad.skops: not a ZIP archive\n"
            "  7 archives more not listed\n"
            "\n1 process could not be looked at, and may map more" +
                std::string(geteuid() == 0 ? "\n" : "; those of others are for root\n"));
}

TEST(Status, AsJson) {
  const std::string json = StatusJson({ReportOfFour()}, {});
  EXPECT_THAT(json, HasSubstr(R"("resident_bytes":3670016,"processes":[1,2],)"
                              R"("mapped_bytes":5242880,"saved_bytes":1572864)"));
  EXPECT_THAT(json, HasSubstr(R"("reason":"not a ZIP archive","resident_bytes":null)"));
}

TEST(Status, AMountThatDoesNotAnswer) {
  const auto report = MakeReport({.mountpoint = "/mnt/skops", .source = "/models"},
                                 {.problem = "it does not answer"}, {});
  EXPECT_EQ(StatusText({report}, {}, false), "/mnt/skops: /models: it does not answer\n");
  EXPECT_THAT(StatusJson({report}, {}), HasSubstr(R"("problem":"it does not answer")"));
  EXPECT_EQ(StatusText({}, {}, false), "no mount of skopsfs\n");
}

TEST(MountQuestion, AFolderThatTellsItsStatus) {
  const testing::TempFolder folder;
  std::filesystem::create_directory(folder / ".skopsfs");
  std::filesystem::create_directories(folder / "a.skops/in/it");
  testing::WriteFile(folder / ".skopsfs/status.json", R"({"version": "7", "archives": [
      {"path": "a.skops", "state": "open", "size": 3}, {"path": "gone.skops", "state": "idle"},
      {"path": "bad.skops", "state": "failed", "reason": "x"}]})");
  testing::WriteFile(folder / "a.skops/1.npy", std::string(10'000, 'x'));
  testing::WriteFile(folder / "a.skops/in/it/2.npy", "x");
  const auto answer = MountQuestion(folder.path().string()).Wait();
  EXPECT_EQ(answer.problem, "");
  EXPECT_EQ(answer.status.version, "7");
  EXPECT_FALSE(answer.is_silent);
  EXPECT_THAT(answer.looked_at, ElementsAre(true, false, false));
  ASSERT_THAT(answer.members, SizeIs(2));
  EXPECT_EQ(answer.members[0].resident, 10'000);
  EXPECT_EQ(answer.members[1].resident, 1);
}

TEST(MountQuestion, WhatHasNoStatus) {
  const testing::TempFolder folder;
  EXPECT_THAT(MountQuestion(folder.path().string()).Wait().problem,
              HasSubstr("it has no .skopsfs/status.json"));
}

TEST(MountQuestion, WhatDoesNotAnswerIsNotWaitedFor) {
  const testing::TempFolder folder;
  std::filesystem::create_directory(folder / ".skopsfs");
  // Opening a pipe that nobody writes to takes for ever.
  ASSERT_EQ(mkfifo((folder / ".skopsfs/status.json").c_str(), 0600), 0);
  const auto answer = MountQuestion(folder.path().string()).Wait(std::chrono::milliseconds(200));
  EXPECT_TRUE(answer.is_silent);
  EXPECT_THAT(answer.problem, HasSubstr("it does not answer"));
}

}  // namespace
}  // namespace skopsfs::ctl
