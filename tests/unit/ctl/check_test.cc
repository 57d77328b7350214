#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <string>

#include "ctl/archive_target.h"
#include "ctl/collect.h"
#include "ctl/read_through.h"
#include "support/archive_builder.h"
#include "support/samples.h"
#include "support/temp_folder.h"
#include "util/error.h"

namespace skopsfs::ctl {
namespace {

using testing::ArchiveBuilder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Noise;
using ::testing::SizeIs;
using testing::TempFolder;
using testing::WriteFile;

constexpr int kNoTerminal = -1;

// The reports on what `path` leads to, in order; what cannot be looked at has one without members.
std::vector<Report> ReportsOn(const std::string& path, unsigned threads = 3) {
  std::vector<Report> reports;
  ArchiveTarget::Memory memory;
  Progress progress(kNoTerminal);
  Collector collector({}, {}, memory, [&](const std::string& where, const std::string& why) {
    reports.push_back({.path = where, .unchecked = why});
  });
  collector.Add(path);
  ReadThrough(collector.Take(), threads, progress,
              [&](const Report& report) { reports.push_back(report); });
  return reports;
}

// "member: reason" of all faults of the archive.
std::vector<std::string> FaultsOf(ArchiveBuilder& archive) {
  const TempFolder folder;
  WriteFile(folder / "a.skops", archive.Build());
  const auto reports = ReportsOn(folder / "a.skops");
  std::vector<std::string> faults;
  for (const auto& fault : reports.at(0).faults)
    faults.push_back(fault.member + ": " + fault.reason);
  EXPECT_EQ(reports.size(), 1);
  EXPECT_EQ(reports[0].fault_count, faults.size());
  EXPECT_EQ(reports[0].unchecked, "");
  return faults;
}

std::vector<std::string> FaultsOfOne(testing::Member member) {
  ArchiveBuilder archive;
  archive.Add(std::move(member)).Add({.name = "good", .data = "good"});
  return FaultsOf(archive);
}

TEST(Check, GenuineArchives) {
  const auto reports = ReportsOn(testing::DataPath(""));
  EXPECT_GE(reports.size(), 9);
  for (const auto& report : reports) {
    EXPECT_TRUE(report.is_right()) << report.path << report.unchecked
                                   << (report.faults.empty() ? "" : report.faults[0].reason);
    EXPECT_GT(report.members, 0);
    EXPECT_GT(report.bytes, 0);
  }
}

TEST(Check, WrongBytes) {
  EXPECT_THAT(
      FaultsOfOne(
          {.name = "m", .data = Noise(5000), .local = {.crc32 = 1}, .central = {.crc32 = 1}}),
      ElementsAre("m: bad CRC-32"));
  auto deflated = testing::Deflate(testing::SampleLines());
  EXPECT_THAT(FaultsOfOne({.name = "m",
                           .data = testing::SampleLines(),
                           .method = zip::kMethodDeflated,
                           .local = {.crc32 = 1},
                           .central = {.crc32 = 1}}),
              ElementsAre(HasSubstr("m: bad CRC-32")));
  deflated[deflated.size() / 2] = static_cast<char>(~deflated[deflated.size() / 2]);
  EXPECT_THAT(FaultsOfOne({.name = "m",
                           .data = testing::SampleLines(),
                           .method = zip::kMethodDeflated,
                           .compressed = deflated}),
              SizeIs(1));
}

TEST(Check, HeadersThatZipfileRefuses) {
  EXPECT_THAT(FaultsOfOne({.name = "m", .data = "x", .local = {.signature = 7}}), SizeIs(1));
  EXPECT_THAT(FaultsOfOne({.name = "m", .data = "x", .local = {.name = "n"}}), SizeIs(1));
  EXPECT_THAT(FaultsOfOne({.name = "m", .data = "x", .flags = zip::kFlagEncrypted}),
              ElementsAre(HasSubstr("encrypted")));
  EXPECT_THAT(FaultsOfOne({.name = "m", .data = "x", .method = 77, .compressed = "x"}),
              ElementsAre(HasSubstr("method 77")));
}

TEST(Check, NamesThatAreNotShown) {
  EXPECT_THAT(FaultsOfOne({.name = "../m", .data = "x"}),
              ElementsAre("../m: a mount does not show it: its name has a component '.' or '..'"));
}

TEST(Check, WhatIsNoArchive) {
  const TempFolder folder;
  WriteFile(folder / "a.skops", "none");
  const auto reports = ReportsOn(folder / "a.skops");
  ASSERT_THAT(reports, SizeIs(1));
  ASSERT_THAT(reports[0].faults, SizeIs(1));
  EXPECT_EQ(reports[0].faults[0].member, "");
  EXPECT_THAT(reports[0].faults[0].reason, HasSubstr("not a ZIP archive"));
}

TEST(Check, Schemas) {
  const auto faults_of = [](const std::string& schema) {
    return FaultsOfOne({.name = "schema.json", .data = schema});
  };
  EXPECT_THAT(faults_of("{"), ElementsAre(HasSubstr("schema.json: schema.json is not JSON")));
  const std::string node =
      R"({"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "numpy",
          "file": )";
  EXPECT_THAT(faults_of(node + "\"good\"}"), IsEmpty());
  EXPECT_THAT(faults_of(node + "\"1.npy\"}"),
              ElementsAre("schema.json: it names 1.npy, which is not there"));
}

TEST(Check, FoldersOfArchives) {
  const TempFolder folder;
  const std::string good = ArchiveBuilder().Add({.name = "m", .data = Noise(100'000)}).Build();
  std::filesystem::create_directories(folder / "a/b");
  WriteFile(folder / "z.skops", good);
  WriteFile(folder / "a/b/c.skops", good.substr(1000));
  WriteFile(folder / "a/other.zip", "not looked at");
  std::filesystem::create_symlink("../z.skops", folder / "a/link.skops");
  std::filesystem::create_symlink("..", folder / "a/b/loop");
  std::filesystem::create_symlink("nowhere", folder / "gone.skops");
  std::map<std::string, bool> found;
  for (const auto& report : ReportsOn(folder.path().string())) {
    found[std::filesystem::path(report.path).lexically_relative(folder.path())] = report.is_right();
  }
  EXPECT_THAT(found, ElementsAre(std::pair("a/b/c.skops", false), std::pair("a/link.skops", true),
                                 std::pair("gone.skops", false), std::pair("z.skops", true)));
}

TEST(Check, WhatCannotBeLookedAt) {
  const TempFolder folder;
  EXPECT_THAT(ReportsOn(folder / "none").at(0).unchecked, HasSubstr("No such file"));
  EXPECT_THAT(ReportsOn(folder.path().string()).at(0).unchecked, HasSubstr("no archives"));
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(ReportsOn(folder / "pipe").at(0).unchecked, HasSubstr("neither a file nor a folder"));
}

TEST(Check, ManyFaultsAreCountedAndNotKept) {
  ArchiveBuilder archive;
  for (int i = 0; i < 1500; ++i) {
    archive.Add({.name = std::to_string(i), .data = "x", .local = {.signature = 7}});
  }
  const TempFolder folder;
  WriteFile(folder / "a.skops", archive.Build());
  const auto reports = ReportsOn(folder / "a.skops");
  EXPECT_THAT(reports.at(0).faults, SizeIs(Report::kMostFaults));
  EXPECT_EQ(reports[0].fault_count, 1500);
}

TEST(Check, LargeCentralDirectoriesAreReadOneAfterTheOther) {
  ArchiveBuilder archive;
  for (int i = 0; i < 300; ++i) {  // 19 MiB
    archive.Add(
        {.name = std::to_string(i), .data = "x", .central = {.comment = std::string(65'535, 'c')}});
  }
  const TempFolder folder;
  for (const auto* name : {"a.skops", "b.skops", "c.skops"}) archive.WriteTo(folder / name);
  WriteFile(folder / "d.skops", "none");
  const auto reports = ReportsOn(folder.path().string(), 4);
  ASSERT_THAT(reports, SizeIs(4));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(reports[i].is_right());
    EXPECT_EQ(reports[i].members, 300);
  }
}

// Has `members` members, and is told to fail in some way.
class FakeTarget : public Target {
 public:
  FakeTarget(std::string path, size_t members, std::atomic<int>& open)
      : Target(std::move(path)), members_(members), open_(open) {}
  std::optional<uint64_t> work() const override { return members_; }
  void Open(const ReportFault&) override {
    ++open_;
    if (path() == "unchecked") throw util::Error(EACCES, "not allowed");
    if (path() == "memory") throw std::bad_alloc();
  }
  size_t member_count() const override { return members_; }
  uint64_t Read(size_t number, std::span<std::byte>, const ReportFault& report,
                const ReportBytes& advance) override {
    advance(1);
    if (path() == "faulty" && number % 2 == 1) report({std::to_string(number), "odd"});
    return 10;
  }
  void Close() override {
    --open_;
    if (path() == "changed") throw util::Error(EBUSY, "changed");
  }

 private:
  const size_t members_;
  std::atomic<int>& open_;
};

TEST(ReadThrough, ReportsInOrderWhateverTheThreadsDo) {
  for (const unsigned threads : {1U, 2U, 7U}) {
    std::atomic<int> open = 0;
    std::vector<std::unique_ptr<Target>> targets;
    for (const auto* path : {"empty", "good", "unchecked", "faulty", "memory", "changed", "last"}) {
      const size_t members = path == std::string("empty") ? 0 : 100;
      targets.push_back(std::make_unique<FakeTarget>(path, members, open));
    }
    Progress progress(kNoTerminal);
    std::vector<std::string> found;
    ReadThrough(std::move(targets), threads, progress, [&](const Report& report) {
      found.push_back(report.path + " " + std::to_string(report.bytes) + " " +
                      std::to_string(report.fault_count) + " " + report.unchecked);
    });
    EXPECT_THAT(found, ElementsAre("empty 0 0 ", "good 1000 0 ", "unchecked 0 0 not allowed",
                                   "faulty 1000 50 ", "memory 0 0 there is not enough memory",
                                   "changed 1000 0 changed", "last 1000 0 "));
    EXPECT_EQ(open, 0);
  }
}

}  // namespace
}  // namespace skopsfs::ctl
