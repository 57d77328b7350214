#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "fs/file_system.h"
#include "support/archive_files.h"
#include "support/errors.h"
#include "support/kernel.h"
#include "support/log_capture.h"
#include "support/samples.h"
#include "zip/format.h"

namespace skopsfs::fs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using Values = std::map<std::string, std::string>;

class XattrTest : public ::testing::Test {
 protected:
  XattrTest() {
    std::filesystem::create_directories(folder_ / "sub");
    testing::ArchiveBuilder builder;
    builder.Prepend("prepended")
        .Add({.name = "stored", .data = "some bytes"})
        .Add({.name = "d/deflated", .data = lines_, .method = zip::kMethodDeflated})
        .Add({.name = "unknown", .data = "x", .method = 77, .compressed = "x"})
        .Add({.name = "encrypted", .data = "x", .flags = zip::kFlagEncrypted})
        .Add({.name = "bad_header", .data = "x", .local = {.signature = 0}})
        .Add({.name = "bad_crc",
              .data = lines_,
              .method = zip::kMethodDeflated,
              .local = {.crc32 = 1},
              .central = {.crc32 = 1}});
    builder.WriteTo(folder_ / "sub/a.skops");
    layout_ = builder.layout();
    testing::WriteFile(folder_ / "bad.skops", "no archive");
  }

  std::optional<std::string> Get(const std::string& path, const std::string& name) {
    return fs_.GetXattr(kernel_.Node(path), name);
  }
  // Everything that is listed, and its value.
  Values All(const std::string& path) {
    Values values;
    for (const auto& name : fs_.ListXattr(kernel_.Node(path))) {
      values[name] = Get(path, name).value_or("(none)");
    }
    return values;
  }

  const std::string lines_ = testing::SampleLines();
  testing::Layout layout_;
  const testing::TempFolder folder_;
  const testing::LogCapture log_;
  FileSystem fs_{folder_.path().string(), {}};
  testing::Kernel kernel_{fs_};
};

TEST_F(XattrTest, OfAStoredMember) {
  EXPECT_EQ(All("sub/a.skops/stored"),
            (Values{{"user.skopsfs.archive", "sub/a.skops"},
                    {"user.skopsfs.member", "stored"},
                    {"user.skopsfs.method", "stored"},
                    {"user.skopsfs.offset", std::to_string(layout_.members[0].data)},
                    {"user.skopsfs.compressed_size", "10"},
                    {"user.skopsfs.crc32", fmt::format("{:08x}", testing::Crc32("some bytes"))}}));
}

TEST_F(XattrTest, OfACompressedMember) {
  EXPECT_EQ(All("sub/a.skops/d/deflated"),
            (Values{{"user.skopsfs.archive", "sub/a.skops"},
                    {"user.skopsfs.member", "d/deflated"},
                    {"user.skopsfs.method", "deflated"},
                    {"user.skopsfs.offset", std::to_string(layout_.members[1].data)},
                    {"user.skopsfs.compressed_size",
                     std::to_string(testing::CompressedSampleLines(8).size())},
                    {"user.skopsfs.crc32", fmt::format("{:08x}", testing::Crc32(lines_))}}));
}

TEST_F(XattrTest, OfDirectoriesAndFolders) {
  EXPECT_EQ(All("sub/a.skops"), (Values{{"user.skopsfs.archive", "sub/a.skops"}}));
  EXPECT_EQ(All("sub/a.skops/d"),
            (Values{{"user.skopsfs.archive", "sub/a.skops"}, {"user.skopsfs.member", "d"}}));
  EXPECT_THAT(fs_.ListXattr(kernel_.Node("sub")), IsEmpty());
  EXPECT_THAT(fs_.ListXattr(kRoot), IsEmpty());
}

TEST_F(XattrTest, MethodNames) {
  const std::map<uint16_t, std::string> names = {{0, "stored"}, {8, "deflated"}, {12, "bzip2"},
                                                 {14, "lzma"},  {93, "zstd"},    {95, "95"},
                                                 {9, "9"},      {65535, "65535"}};
  testing::ArchiveBuilder builder;
  for (const auto& [method, name] : names) {
    builder.Add({.name = name, .data = "x", .method = method, .compressed = "x"});
  }
  builder.WriteTo(folder_ / "methods.skops");
  for (const auto& [method, name] : names) {
    EXPECT_EQ(Get("methods.skops/" + name, "user.skopsfs.method"), name);
  }
}

TEST_F(XattrTest, LinksHaveNone) {
  testing::ArchiveBuilder()
      .Add({.name = "1.npy", .data = "1"})
      .Add({.name = "schema.json", .data = R"({"__loader__": "N", "file": "1.npy"})"})
      .WriteTo(folder_ / "named.skops");
  EXPECT_THAT(fs_.ListXattr(kernel_.Node("named.skops/by-name/root.npy")), IsEmpty());
  EXPECT_EQ(Get("named.skops/by-name/root.npy", "user.skopsfs.archive"), std::nullopt);
  EXPECT_EQ(All("named.skops/by-name"), (Values{{"user.skopsfs.archive", "named.skops"}}));
}

TEST_F(XattrTest, NamesThatAreNotThere) {
  for (const auto* name : {"user.skopsfs.", "user.skopsfs.nothing", "user.skopsfs", "user.other",
                           "security.capability", "system.posix_acl_access", "archive", ""}) {
    for (const auto* path : {"", "sub", "sub/a.skops", "sub/a.skops/stored"}) {
      EXPECT_EQ(Get(path, name), std::nullopt) << path << " " << name;
    }
  }
  EXPECT_EQ(Get("sub/a.skops/stored", "user.skopsfs.error"), std::nullopt);
  EXPECT_EQ(Get("sub/a.skops", "user.skopsfs.error"), std::nullopt);
}

TEST_F(XattrTest, OfAnArchiveThatCannotBeOpened) {
  const auto reason = Get("bad.skops", "user.skopsfs.error");
  ASSERT_TRUE(reason);
  EXPECT_THAT(log_.texts(), ElementsAre("\"bad.skops\": cannot be opened: " + *reason));
  EXPECT_THAT(fs_.ListXattr(kernel_.Node("bad.skops")),
              UnorderedElementsAre("user.skopsfs.archive", "user.skopsfs.error"));
  testing::WriteFile(folder_ / "bad.skops", testing::ArchiveOf("healed"));
  EXPECT_EQ(Get("bad.skops", "user.skopsfs.error"), std::nullopt);
}

TEST_F(XattrTest, OfMembersThatCannotBeRead) {
  EXPECT_THAT(*Get("sub/a.skops/unknown", "user.skopsfs.error"), HasSubstr("77"));
  EXPECT_THAT(*Get("sub/a.skops/encrypted", "user.skopsfs.error"), HasSubstr("encrypted"));
  EXPECT_THAT(*Get("sub/a.skops/bad_header", "user.skopsfs.error"), HasSubstr("header"));
  EXPECT_EQ(Get("sub/a.skops/encrypted", "user.skopsfs.method"), "stored");
  // Where it cannot be found it has no offset, but all that the directory says.
  const NodeId bad = kernel_.Node("sub/a.skops/bad_header");
  EXPECT_EQ(ErrnoOf([&] { fs_.GetXattr(bad, "user.skopsfs.offset"); }), EIO);
  EXPECT_THAT(fs_.ListXattr(bad),
              UnorderedElementsAre("user.skopsfs.archive", "user.skopsfs.member",
                                   "user.skopsfs.method", "user.skopsfs.compressed_size",
                                   "user.skopsfs.crc32", "user.skopsfs.error"));
}

TEST_F(XattrTest, AFailureWhileReadingIsRemembered) {
  const NodeId node = kernel_.Node("sub/a.skops/bad_crc");
  EXPECT_EQ(fs_.GetXattr(node, "user.skopsfs.error"), std::nullopt) << "nobody knows yet";
  const auto member = fs_.MemberOf(node);
  EXPECT_EQ(ErrnoOf([&] { kernel_.Read(member, 0, lines_.size()); }), EIO);
  EXPECT_THAT(fs_.GetXattr(node, "user.skopsfs.error").value_or(""), HasSubstr("CRC"));
  EXPECT_THAT(fs_.ListXattr(node), Contains("user.skopsfs.error"));
  EXPECT_EQ(Get("sub/a.skops/stored", "user.skopsfs.error"), std::nullopt);
}

TEST_F(XattrTest, OfNodesThatNeverWere) {
  EXPECT_EQ(ErrnoOf([&] { fs_.GetXattr({.slot = 4711, .index = 0}, "user.skopsfs.archive"); }),
            ESTALE);
  const NodeId archive = kernel_.Node("sub/a.skops");
  const NodeId never{.slot = archive.slot, .index = 4711};
  EXPECT_EQ(ErrnoOf([&] { fs_.GetXattr(never, "user.skopsfs.member"); }), ESTALE);
}

TEST_F(XattrTest, OfASingleArchive) {
  const std::string path = folder_ / "sub/a.skops";
  FileSystem fs(path, {});
  testing::Kernel kernel(fs);
  EXPECT_EQ(fs.GetXattr(kRoot, "user.skopsfs.archive"), path);
  EXPECT_EQ(fs.GetXattr(kernel.Node("stored"), "user.skopsfs.archive"), path);
  EXPECT_EQ(fs.GetXattr(kernel.Node("d/deflated"), "user.skopsfs.member"), "d/deflated");
}

}  // namespace
}  // namespace skopsfs::fs
