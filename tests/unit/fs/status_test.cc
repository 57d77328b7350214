#include "fs/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <filesystem>
#include <string>
#include <vector>

#include "fs/file_system.h"
#include "support/archive_files.h"
#include "support/errors.h"
#include "support/kernel.h"
#include "support/log_capture.h"

namespace skopsfs::fs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::HasSubstr;
using ::testing::Not;

class StatusTest : public ::testing::Test {
 protected:
  StatusTest() {
    testing::WriteFile(folder_ / "good.skops", testing::ArchiveOf("12345"));
    testing::WriteFile(folder_ / "bad.skops", "no archive");
  }

  std::string Text(const std::string& name) {
    return fs_.StatusTextOf(kernel_.Node(".skopsfs/" + name))->text;
  }
  rapidjson::Document Json() {
    rapidjson::Document json;
    json.Parse(Text("status.json").c_str());
    EXPECT_FALSE(json.HasParseError());
    return json;
  }

  const testing::TempFolder folder_;
  const testing::LogCapture log_;
  FileSystem fs_{folder_.path().string(),
                 {.revalidate = 7,
                  .facts = {.versions = {"1.2", "3.4"},
                            .mountpoint = "/mnt/skops",
                            .options = {"-o", "allow_other"},
                            .supervisor = 17}}};
  testing::Kernel kernel_{fs_};
};

TEST_F(StatusTest, CanBeLookedUpButIsNotListed) {
  const auto found = kernel_.Find(".skopsfs");
  ASSERT_TRUE(found);
  EXPECT_TRUE(S_ISDIR(found->attributes.st_mode));
  EXPECT_EQ(found->entry_timeout, 7) << "the source may get something of that name";
  EXPECT_THAT(kernel_.Names(kRoot), Not(Contains(".skopsfs")));
  EXPECT_FALSE(kernel_.Find("good.skops/.skopsfs"));
}

TEST_F(StatusTest, HasThreeFiles) {
  const auto folder = kernel_.Node(".skopsfs");
  EXPECT_THAT(kernel_.Names(folder), ElementsAre("metrics", "status.json", "health"));
  EXPECT_FALSE(kernel_.Find(".skopsfs/other"));
  for (const auto& item : kernel_.List(folder, false, 1)) {
    if (item.name == "." || item.name == "..") continue;
    EXPECT_FALSE(item.entry.node.is_status()) << "each has a node when it is looked up";
    const auto found = kernel_.Find(".skopsfs/" + item.name);
    ASSERT_TRUE(found) << item.name;
    EXPECT_EQ(found->attributes.st_mode, item.entry.attributes.st_mode) << item.name;
    EXPECT_EQ(found->attributes.st_ino, fs_.GetAttributes(found->node).attributes.st_ino);
    EXPECT_EQ(found->entry_timeout, 0) << "the next look-up makes another text";
    EXPECT_EQ(NodeId::From(found->node.number()), found->node);
  }
}

TEST_F(StatusTest, NamesOfArchivesAreForTheOwner) {
  EXPECT_EQ(kernel_.Find(".skopsfs/status.json")->attributes.st_mode, S_IFREG | 0400U);
  EXPECT_EQ(kernel_.Find(".skopsfs/metrics")->attributes.st_mode, S_IFREG | 0444U);
}

TEST_F(StatusTest, WhatTheSourceHasOfThatNameComesFirst) {
  std::filesystem::create_directories(folder_ / ".skopsfs");
  testing::WriteFile(folder_ / ".skopsfs/a.skops", testing::ArchiveOf("1"));
  EXPECT_THAT(kernel_.Names(kernel_.Node(".skopsfs")), ElementsAre("a.skops"));
  EXPECT_FALSE(kernel_.Find(".skopsfs/metrics"));
  EXPECT_THAT(kernel_.Names(kRoot), Contains(".skopsfs"));
}

TEST_F(StatusTest, NothingElseCanBeDoneWithItsNodes) {
  const auto metrics = kernel_.Node(".skopsfs/metrics");
  EXPECT_EQ(ErrnoOf([&] { fs_.OpenDirectory(metrics); }), ENOTDIR);
  EXPECT_EQ(ErrnoOf([&] { fs_.ReadLink(metrics); }), EINVAL);
  EXPECT_EQ(ErrnoOf([&] { fs_.StatusTextOf(kStatusFolderNode); }), EISDIR);
  EXPECT_EQ(ErrnoOf([&] { fs_.StatusTextOf({.slot = 0, .index = 600}); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { fs_.GetAttributes({.slot = 0, .index = 600}); }), EIO);
  EXPECT_TRUE(fs_.ListXattr(metrics).empty());
  EXPECT_FALSE(fs_.GetXattr(metrics, "user.skopsfs.archive"));
}

TEST_F(StatusTest, Health) {
  EXPECT_EQ(Text("health"), "ok\n");
  std::filesystem::remove_all(folder_.path());
  EXPECT_EQ(ErrnoOf([&] { Text("health"); }), ENOENT) << "it is held, but removed";
}

TEST_F(StatusTest, TellsOfTheMount) {
  const auto json = Json();
  EXPECT_STREQ(json["version"].GetString(), "1.2");
  EXPECT_EQ(json["pid"].GetInt(), 17);
  EXPECT_EQ(json["source"].GetString(), folder_.path().string());
  EXPECT_FALSE(json["source_is_archive"].GetBool());
  EXPECT_STREQ(json["mountpoint"].GetString(), "/mnt/skops");
  ASSERT_EQ(json["options"].Size(), 2U);
  EXPECT_STREQ(json["options"][1].GetString(), "allow_other");
  EXPECT_EQ(json["archives"].Size(), 0U) << "nobody has looked at any";
}

TEST_F(StatusTest, TellsOfArchivesTheFailedOnesFirst) {
  EXPECT_EQ(kernel_.Contents("good.skops/m"), "12345");
  const auto bad = kernel_.Node("bad.skops");
  EXPECT_EQ(ErrnoOf([&] { fs_.OpenDirectory(bad); }), EIO);
  const auto json = Json();
  ASSERT_EQ(json["archives"].Size(), 2U);
  const auto& first = json["archives"][0];
  EXPECT_STREQ(first["path"].GetString(), "bad.skops");
  EXPECT_STREQ(first["state"].GetString(), "failed");
  EXPECT_THAT(first["reason"].GetString(), HasSubstr("no end of central directory record"));
  const auto& second = json["archives"][1];
  EXPECT_STREQ(second["path"].GetString(), "good.skops");
  EXPECT_STREQ(second["state"].GetString(), "open");
  EXPECT_EQ(second["size"].GetUint64(), std::filesystem::file_size(folder_ / "good.skops"));
  EXPECT_FALSE(second.HasMember("reason"));
  EXPECT_EQ(json["counts"]["archives"].GetInt(), 2);
  EXPECT_EQ(json["counts"]["failed"].GetInt(), 1);
  EXPECT_EQ(json["archives_left_out"].GetInt(), 0);
}

TEST_F(StatusTest, AMemberThatFailsIsTold) {
  testing::ArchiveBuilder builder;
  builder.Add({.name = "m", .data = "x", .local = {.signature = 0}}).Add({.name = "n"});
  builder.WriteTo(folder_ / "half.skops");
  const auto member = kernel_.Node("half.skops/m");
  EXPECT_EQ(ErrnoOf([&] { fs_.MemberOf(member); }), EIO);
  const auto json = Json();
  ASSERT_EQ(json["archives"].Size(), 1U);
  EXPECT_THAT(json["archives"][0]["reason"].GetString(), HasSubstr("a member cannot be read: "));
}

TEST_F(StatusTest, AReplacedVersionIsToldForAsLongAsItIsKnown) {
  const auto old = kernel_.Node("good.skops");
  testing::ReplaceFile(folder_ / "good.skops", testing::ArchiveOf("other"));
  EXPECT_NE(kernel_.Node("good.skops"), old);
  EXPECT_EQ(Json()["counts"]["superseded"].GetInt(), 1);
  kernel_.ForgetAll();
  EXPECT_EQ(Json()["counts"]["archives"].GetInt(), 0);
}

TEST_F(StatusTest, NamesThatAreNotUtf8AreStillJson) {
  const std::string name = "caf\xe9 \"quoted\"\n.skops";
  testing::WriteFile(folder_ / name, testing::ArchiveOf("1"));
  kernel_.Node(name);
  EXPECT_STREQ(Json()["archives"][0]["path"].GetString(), "caf\xef\xbf\xbd \"quoted\"\n.skops");
}

TEST_F(StatusTest, AThousandArchivesAreToldOneByOne) {
  for (int i = 0; i < 1001; ++i) {
    const std::string name = std::to_string(i) + ".skops";
    testing::WriteFile(folder_ / name, "");
    kernel_.Node(name);
  }
  const auto json = Json();
  EXPECT_EQ(json["archives"].Size(), 1000U);
  EXPECT_EQ(json["archives_left_out"].GetInt(), 1);
  EXPECT_EQ(json["counts"]["archives"].GetInt(), 1001);
}

TEST_F(StatusTest, MetricsCountTheSame) {
  kernel_.Contents("good.skops/m");
  const auto text = Text("metrics");
  EXPECT_THAT(text, HasSubstr("skopsfs_archives{state=\"open\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("skopsfs_archive_descriptors 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("skopsfs_source_read_bytes_total 0\n")));
}

TEST(StatusOfOneArchive, IsInItsRoot) {
  const testing::TempFolder folder;
  testing::WriteFile(folder / "a.skops", testing::ArchiveOf("1"));
  FileSystem fs(folder / "a.skops", FileSystem::Options{});
  testing::Kernel kernel(fs);
  EXPECT_EQ(kernel.Contents("m"), "1");
  EXPECT_EQ(fs.StatusTextOf(kernel.Node(".skopsfs/health"))->text, "ok\n");
  EXPECT_THAT(fs.StatusTextOf(kernel.Node(".skopsfs/status.json"))->text,
              HasSubstr("\"source_is_archive\":true"));
  EXPECT_THAT(kernel.Names(kRoot), ElementsAre("m"));
  std::filesystem::remove(folder / "a.skops");
  EXPECT_EQ(ErrnoOf([&] { fs.StatusTextOf(kernel.Node(".skopsfs/health"))->text; }), ENOENT);
}

TEST(StatusOfOneArchive, ItsMembersComeFirst) {
  const testing::TempFolder folder;
  testing::WriteFile(folder / "a.skops", testing::ArchiveOf("mine", ".skopsfs/health"));
  FileSystem fs(folder / "a.skops", FileSystem::Options{});
  testing::Kernel kernel(fs);
  EXPECT_EQ(kernel.Contents(".skopsfs/health"), "mine");
}

}  // namespace
}  // namespace skopsfs::fs
