#include "worker/callbacks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support/archive_files.h"
#include "support/log_capture.h"
#include "support/samples.h"
#include "unit/worker/fake_kernel.h"

namespace skopsfs::worker {
namespace {

using testing::BytesOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;
using Reply = testing::FakeKernel::Reply;

class CallbacksTest : public ::testing::Test {
 protected:
  CallbacksTest() {
    std::filesystem::create_directories(folder_ / "sub");
    testing::ArchiveBuilder()
        .Add({.name = "m", .data = data_})
        .Add({.name = "d/x", .data = "x"})
        .WriteTo(folder_ / "a.skops");
    testing::WriteFile(folder_ / "bad.skops", "no archive");
    kernel_.Init();
  }

  Reply Lookup(uint64_t parent, const std::string& name) {
    return kernel_.Call(FUSE_LOOKUP, parent, name + '\0');
  }
  fuse_entry_out Entry(uint64_t parent, const std::string& name) {
    const auto reply = Lookup(parent, name);
    EXPECT_EQ(reply.error, 0) << name;
    return reply.As<fuse_entry_out>();
  }
  void Forget(uint64_t node, uint64_t count) {
    const auto reply = kernel_.Call(FUSE_FORGET, node, BytesOf(fuse_forget_in{count}));
    EXPECT_FALSE(reply.answered);
  }
  Reply Open(uint32_t operation, uint64_t node, uint32_t flags = O_RDONLY) {
    fuse_open_in in{};
    in.flags = flags;
    return kernel_.Call(operation, node, BytesOf(in));
  }
  Reply Read(uint32_t operation, uint64_t node, uint64_t offset, uint32_t size) {
    fuse_read_in in{};
    in.offset = offset;
    in.size = size;
    return kernel_.Call(operation, node, BytesOf(in));
  }
  Reply Release(uint32_t operation, uint64_t node) {
    return kernel_.Call(operation, node, BytesOf(fuse_release_in{}));
  }
  Reply GetXattr(uint64_t node, const std::string& name, uint32_t size) {
    return kernel_.Call(FUSE_GETXATTR, node, BytesOf(fuse_getxattr_in{size, 0}) + name + '\0');
  }

  const std::string data_ = testing::Noise(10'000);
  const testing::TempFolder folder_;
  const testing::LogCapture log_;
  fs::FileSystem fs_{folder_.path().string(), {.revalidate = 7}};
  CallbackContext context_{fs_};
  testing::FakeKernel kernel_{Callbacks(), &context_, [this](auto* session, const auto& request) {
                                Dispatch(context_, session, request);
                              }};
};

TEST(CallbacksInit, AsksForWhatTheDesignNeeds) {
  const testing::TempFolder folder;
  fs::FileSystem fs(folder.path().string(), {});
  CallbackContext context{fs};
  testing::FakeKernel kernel(Callbacks(), &context);
  const auto reply = kernel.Init();
  EXPECT_EQ(reply.error, 0);
  const auto out = reply.As<fuse_init_out>();
  EXPECT_GE(out.max_background, 64U);
  EXPECT_LE(out.congestion_threshold, out.max_background);
  EXPECT_NE(out.flags & FUSE_DO_READDIRPLUS, 0U);
  EXPECT_EQ(out.flags & FUSE_AUTO_INVAL_DATA, 0U);
  EXPECT_EQ(out.flags & FUSE_WRITEBACK_CACHE, 0U);
  EXPECT_EQ(out.flags & FUSE_EXPORT_SUPPORT, 0U) << "lookups of '..' are never asked for";
}

TEST_F(CallbacksTest, Lookups) {
  const auto archive = Entry(FUSE_ROOT_ID, "a.skops");
  EXPECT_GT(archive.nodeid, 1U);
  EXPECT_EQ(archive.entry_valid, 7U);
  EXPECT_EQ(archive.attr_valid, 7U);
  EXPECT_TRUE(S_ISDIR(archive.attr.mode));
  const auto member = Entry(archive.nodeid, "m");
  EXPECT_EQ(member.attr.size, data_.size());
  EXPECT_GT(member.entry_valid, 1000000U);
  EXPECT_GT(member.attr_valid, 1000000U);
  EXPECT_EQ(fs_.catalog().slots().All().size(), 2U);
  Forget(member.nodeid, 1);
  Forget(archive.nodeid, 1);
  EXPECT_EQ(fs_.catalog().slots().All().size(), 1U);
}

TEST_F(CallbacksTest, NamesThatAreNotThereAreRemembered) {
  const auto nowhere = Entry(FUSE_ROOT_ID, "nowhere");
  EXPECT_EQ(nowhere.nodeid, 0U);
  EXPECT_EQ(nowhere.entry_valid, 7U);
  const auto inside = Entry(Entry(FUSE_ROOT_ID, "a.skops").nodeid, "nowhere");
  EXPECT_EQ(inside.nodeid, 0U);
  EXPECT_GT(inside.entry_valid, 1000000U);
}

TEST_F(CallbacksTest, ErrorsAreAnswered) {
  const auto bad = Entry(FUSE_ROOT_ID, "bad.skops");
  EXPECT_EQ(Lookup(bad.nodeid, "x").error, EIO);
  EXPECT_EQ(Open(FUSE_OPENDIR, bad.nodeid).error, EIO);
  EXPECT_EQ(Read(FUSE_READ, bad.nodeid, 0, 100).error, EIO);
  EXPECT_EQ(Lookup(4711 << 24, "x").error, ESTALE);
  EXPECT_EQ(kernel_.Call(FUSE_GETATTR, 4711 << 24, BytesOf(fuse_getattr_in{})).error, ESTALE);
}

TEST_F(CallbacksTest, ManyForgetsAtOnce) {
  const auto archive = Entry(FUSE_ROOT_ID, "a.skops");
  const auto sub = Entry(FUSE_ROOT_ID, "sub");
  EXPECT_EQ(fs_.catalog().slots().All().size(), 3U);
  const auto reply = kernel_.Call(FUSE_BATCH_FORGET, 0,
                                  BytesOf(fuse_batch_forget_in{2, 0}) +
                                      BytesOf(fuse_forget_one{archive.nodeid, 1}) +
                                      BytesOf(fuse_forget_one{sub.nodeid, 1}));
  EXPECT_FALSE(reply.answered);
  EXPECT_EQ(fs_.catalog().slots().All().size(), 1U);
}

// No message for an open or a close: the kernel never asks again.
TEST_F(CallbacksTest, FilesAreReadByNodeAlone) {
  const auto node = Entry(Entry(FUSE_ROOT_ID, "a.skops").nodeid, "m").nodeid;
  EXPECT_EQ(Open(FUSE_OPEN, node).error, ENOSYS);
  EXPECT_EQ(fs_.catalog().open_archives().open_files(), 1U) << "it was looked into";
  EXPECT_TRUE(Read(FUSE_READ, node, 0, 4096).body == data_.substr(0, 4096));
  EXPECT_TRUE(Read(FUSE_READ, node, 8192, 4096).body == data_.substr(8192))
      << "short only at the end";
  EXPECT_EQ(Read(FUSE_READ, node, 1 << 20, 4096).body, "");
}

TEST_F(CallbacksTest, ANodeStaysItsVersionWhateverHasBecomeOfTheName) {
  const auto archive = Entry(FUSE_ROOT_ID, "a.skops").nodeid;
  const auto node = Entry(archive, "m").nodeid;
  EXPECT_TRUE(Read(FUSE_READ, node, 0, 100).body == data_.substr(0, 100));
  testing::ReplaceFile(folder_ / "a.skops", testing::ArchiveOf("new"));
  EXPECT_EQ(
      kernel_.Call(FUSE_GETATTR, node, BytesOf(fuse_getattr_in{})).As<fuse_attr_out>().attr.size,
      data_.size());
  EXPECT_TRUE(Read(FUSE_READ, node, 100, 100).body == data_.substr(100, 100));
  EXPECT_EQ(Lookup(archive, "m").error, ESTALE) << "who looks a name up is to see the new one";
  EXPECT_EQ(fs_.catalog().slots().Superseded().size(), 1U) << "by then it is known";
  EXPECT_EQ(Lookup(archive, "m").error, ESTALE) << "for good";
  EXPECT_NE(Entry(FUSE_ROOT_ID, "a.skops").nodeid, archive);
  ASSERT_EQ(fs_.catalog().slots().Superseded().size(), 1U);
  Forget(node, 1);
  Forget(archive, 1);
  EXPECT_TRUE(fs_.catalog().slots().Superseded().empty());
  EXPECT_EQ(fs_.catalog().open_archives().open_files(), 0U) << "it goes with the last node";
}

TEST_F(CallbacksTest, WhatWasReplacedBeforeItWasOpenedCannotBeRead) {
  const auto archive = Entry(FUSE_ROOT_ID, "a.skops").nodeid;
  const handover::NodeId member{.slot = handover::NodeId::From(archive).slot, .index = 1};
  testing::ReplaceFile(folder_ / "a.skops", testing::ArchiveOf("new"));
  EXPECT_EQ(Read(FUSE_READ, member.number(), 0, 100).error, EIO);
  EXPECT_THAT(log_.texts(), ::testing::Contains(HasSubstr("replaced or removed before")));
}

// Where each open must be seen.
TEST(CallbacksOpen, IsAnsweredWhereItMustBeSeen) {
  const testing::TempFolder folder;
  testing::WriteFile(folder / "a.skops", testing::ArchiveOf("data"));
  fs::FileSystem fs(folder.path().string(), {});
  CallbackContext context{.file_system = fs, .is_asked_of_each_open = true};
  testing::FakeKernel kernel(Callbacks(), &context);
  kernel.Init();
  const auto look_up = [&](uint64_t parent, const std::string& name) {
    return kernel.Call(FUSE_LOOKUP, parent, name + '\0').As<fuse_entry_out>().nodeid;
  };
  const auto node = look_up(look_up(FUSE_ROOT_ID, "a.skops"), "m");
  for (int i = 0; i < 2; ++i) {
    const auto opened = kernel.Call(FUSE_OPEN, node, BytesOf(fuse_open_in{}));
    ASSERT_EQ(opened.error, 0);
    const auto out = opened.As<fuse_open_out>();
    EXPECT_EQ(out.fh, 0U);
    EXPECT_NE(out.open_flags & FOPEN_KEEP_CACHE, 0U);
    EXPECT_EQ(out.open_flags & FOPEN_DIRECT_IO, 0U);
    const auto released = kernel.Call(FUSE_RELEASE, node, BytesOf(fuse_release_in{}));
    EXPECT_TRUE(released.answered);
    EXPECT_EQ(released.error, 0);
  }
}

TEST_F(CallbacksTest, AReadThatFailsIsAnsweredWithAnErrorAndNoBytes) {
  const auto node = Entry(Entry(FUSE_ROOT_ID, "a.skops").nodeid, "m").nodeid;
  EXPECT_EQ(Read(FUSE_READ, node, 0, 10).error, 0);
  std::filesystem::resize_file(folder_ / "a.skops", 50);
  const auto reply = Read(FUSE_READ, node, 0, 4096);
  EXPECT_EQ(reply.error, EIO);
  EXPECT_EQ(reply.body, "");
}

// Each look-up of such a file is a node of its own, with its text and the size of that.
TEST_F(CallbacksTest, StatusFilesAreTextsOfTheirOwn) {
  const auto folder = Entry(FUSE_ROOT_ID, ".skopsfs").nodeid;
  const auto first = Entry(folder, "metrics");
  EXPECT_EQ(first.entry_valid, 0U);
  EXPECT_EQ(first.entry_valid_nsec, 0U);
  Read(FUSE_READ, Entry(Entry(FUSE_ROOT_ID, "a.skops").nodeid, "m").nodeid, 0, 100);
  const auto second = Entry(folder, "metrics");
  EXPECT_NE(first.nodeid, second.nodeid);
  const auto whole = [&](const fuse_entry_out& entry) {
    std::string text;  // in small pieces
    for (std::string piece = "?"; !piece.empty(); text += piece) {
      piece = Read(FUSE_READ, entry.nodeid, text.size(), 100).body;
    }
    return text;
  };
  EXPECT_EQ(whole(first).size(), first.attr.size);
  EXPECT_EQ(whole(second).size(), second.attr.size);
  EXPECT_NE(whole(first), whole(second));
  Forget(first.nodeid, 1);
  EXPECT_EQ(Read(FUSE_READ, first.nodeid, 0, 100).error, EIO);
  EXPECT_EQ(Read(FUSE_READ, folder, 0, 100).error, EISDIR);
}

TEST_F(CallbacksTest, NothingIsWritten) {
  const auto archive = Entry(FUSE_ROOT_ID, "a.skops").nodeid;
  const auto node = Entry(archive, "m").nodeid;
  for (const uint32_t flags : {O_WRONLY, O_RDWR, O_RDWR | O_TRUNC}) {
    EXPECT_EQ(Open(FUSE_OPEN, node, flags).error, EROFS);
  }
  const std::string name("new\0", 4);
  EXPECT_EQ(kernel_.Call(FUSE_SETATTR, node, BytesOf(fuse_setattr_in{})).error, EROFS);
  EXPECT_EQ(kernel_.Call(FUSE_MKNOD, archive, BytesOf(fuse_mknod_in{}) + name).error, EROFS);
  EXPECT_EQ(kernel_.Call(FUSE_MKDIR, archive, BytesOf(fuse_mkdir_in{}) + name).error, EROFS);
  EXPECT_EQ(kernel_.Call(FUSE_UNLINK, archive, name).error, EROFS);
  EXPECT_EQ(kernel_.Call(FUSE_RMDIR, archive, name).error, EROFS);
  EXPECT_EQ(kernel_.Call(FUSE_SYMLINK, archive, name + name).error, EROFS);
  EXPECT_EQ(
      kernel_.Call(FUSE_RENAME, archive, BytesOf(fuse_rename_in{archive}) + name + name).error,
      EROFS);
  EXPECT_EQ(
      kernel_.Call(FUSE_RENAME2, archive, BytesOf(fuse_rename2_in{archive, 0, 0}) + name + name)
          .error,
      EROFS);
  EXPECT_EQ(kernel_.Call(FUSE_LINK, archive, BytesOf(fuse_link_in{node}) + name).error, EROFS);
  EXPECT_EQ(kernel_.Call(FUSE_CREATE, archive, BytesOf(fuse_create_in{}) + name).error, EROFS);
  fuse_write_in write{};
  write.size = 4;
  EXPECT_EQ(kernel_.Call(FUSE_WRITE, node, BytesOf(write) + name).error, EROFS);
  EXPECT_EQ(kernel_.Call(FUSE_REMOVEXATTR, node, name).error, EROFS);
  EXPECT_EQ(kernel_.Call(FUSE_FALLOCATE, node, BytesOf(fuse_fallocate_in{})).error, EROFS);
  // Without FUSE_SETXATTR_EXT only the structure's first two fields are sent.
  const std::string setxattr = BytesOf(std::pair<uint32_t, uint32_t>(0, 0));
  EXPECT_EQ(kernel_.Call(FUSE_SETXATTR, node, setxattr + name).error, EROFS);
}

// --- directories ---

struct Listed {
  std::string name;
  uint64_t node = 0;
  uint64_t next = 0;
};

std::vector<Listed> ParseEntries(const std::string& body, bool plus) {
  std::vector<Listed> entries;
  for (size_t at = 0; at < body.size();) {
    Listed listed;
    if (plus) {
      fuse_entry_out entry{};
      std::memcpy(&entry, body.data() + at, sizeof(entry));
      listed.node = entry.nodeid;
      at += sizeof(entry);
    }
    fuse_dirent head{};
    std::memcpy(&head, body.data() + at, FUSE_NAME_OFFSET);
    listed.name = body.substr(at + FUSE_NAME_OFFSET, head.namelen);
    listed.next = head.off;
    entries.push_back(listed);
    at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + head.namelen);
  }
  return entries;
}

TEST_F(CallbacksTest, DirectoriesInPiecesWithAndWithoutLookups) {
  const auto archive = Entry(FUSE_ROOT_ID, "a.skops").nodeid;
  for (const uint64_t node : {uint64_t{FUSE_ROOT_ID}, archive}) {
    const auto opened = Open(FUSE_OPENDIR, node).As<fuse_open_out>();
    // Only what never changes may be kept by the kernel.
    EXPECT_EQ((opened.open_flags & FOPEN_CACHE_DIR) != 0, node == archive);
    for (const bool plus : {false, true}) {
      std::vector<std::string> names;
      std::vector<uint64_t> nodes;
      for (uint64_t position = 0; true;) {
        const auto reply = Read(plus ? FUSE_READDIRPLUS : FUSE_READDIR, node, position,
                                200);  // room for one entry or a few
        ASSERT_EQ(reply.error, 0);
        const auto entries = ParseEntries(reply.body, plus);
        if (entries.empty()) break;
        for (const auto& entry : entries) {
          names.push_back(entry.name);
          if (entry.name == "." || entry.name == "..") {
            EXPECT_EQ(entry.node, 0U);
          } else if (plus) {
            EXPECT_EQ(entry.node, Entry(node, entry.name).nodeid);
            Forget(entry.node, 2);
          }
        }
        position = entries.back().next;
      }
      if (node == archive) {
        EXPECT_THAT(names, ElementsAre(".", "..", "d", "m"));
      } else {
        EXPECT_THAT(names, UnorderedElementsAre(".", "..", "a.skops", "bad.skops", "sub"));
      }
    }
    EXPECT_EQ(Release(FUSE_RELEASEDIR, node).error, 0);
  }
  Forget(archive, 1);
  EXPECT_EQ(fs_.catalog().slots().All().size(), 1U);
}

TEST_F(CallbacksTest, NoRoomForOneEntry) {
  for (const uint32_t operation : {FUSE_READDIR, FUSE_READDIRPLUS}) {
    const auto reply = Read(operation, FUSE_ROOT_ID, 0, 10);
    EXPECT_EQ(reply.error, 0);
    EXPECT_EQ(reply.body, "");
  }
  EXPECT_EQ(fs_.catalog().slots().All().size(), 1U);
}

// --- the rest ---

TEST_F(CallbacksTest, ExtendedAttributes) {
  const auto node = Entry(Entry(FUSE_ROOT_ID, "a.skops").nodeid, "m").nodeid;
  EXPECT_EQ(GetXattr(node, "user.skopsfs.member", 0).As<fuse_getxattr_out>().size, 1U);
  EXPECT_EQ(GetXattr(node, "user.skopsfs.member", 1).body, "m");
  EXPECT_EQ(GetXattr(node, "user.skopsfs.member", 100).body, "m");
  EXPECT_EQ(GetXattr(node, "user.skopsfs.archive", 1).error, ERANGE);
  EXPECT_EQ(GetXattr(node, "user.skopsfs.nothing", 100).error, ENODATA);
  EXPECT_EQ(GetXattr(node, "security.capability", 100).error, ENODATA);
  const auto list = [&](uint32_t size) {
    return kernel_.Call(FUSE_LISTXATTR, node, BytesOf(fuse_getxattr_in{size, 0}));
  };
  const auto size = list(0).As<fuse_getxattr_out>().size;
  EXPECT_EQ(list(size).body.size(), size);
  EXPECT_NE(list(size).body.find(std::string("user.skopsfs.method\0", 20)), std::string::npos);
  EXPECT_EQ(list(size - 1).error, ERANGE);
  EXPECT_EQ(kernel_.Call(FUSE_LISTXATTR, FUSE_ROOT_ID, BytesOf(fuse_getxattr_in{0, 0}))
                .As<fuse_getxattr_out>()
                .size,
            0U);
}

TEST_F(CallbacksTest, StatFs) {
  const auto out = kernel_.Call(FUSE_STATFS, FUSE_ROOT_ID).As<fuse_statfs_out>();
  EXPECT_EQ(out.st.bfree, 0U);
  EXPECT_EQ(out.st.namelen, 255U);
}

// Whoever asked has been killed: nothing may be held for him.
TEST_F(CallbacksTest, WhoeverAskedHasGone) {
  const auto archive = Entry(FUSE_ROOT_ID, "a.skops").nodeid;
  const auto node = Entry(archive, "m").nodeid;
  const auto status = Entry(FUSE_ROOT_ID, ".skopsfs").nodeid;
  kernel_.NobodyWaits(true);
  Lookup(FUSE_ROOT_ID, "sub");
  Lookup(archive, "m");
  Read(FUSE_READ, node, 0, 100);
  Open(FUSE_OPENDIR, archive);
  for (int i = 0; i < 1001; ++i) Lookup(status, "health");
  kernel_.NobodyWaits(false);
  EXPECT_EQ(Lookup(status, "health").error, 0) << "more texts than there may be";
  Forget(node, 1);
  Forget(archive, 1);
  EXPECT_EQ(fs_.catalog().slots().All().size(), 1U);
  EXPECT_EQ(fs_.catalog().open_archives().open_files(), 0U);
}

}  // namespace
}  // namespace skopsfs::worker
