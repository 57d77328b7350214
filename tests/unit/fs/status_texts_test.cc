#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "fs/file_system.h"
#include "fs/status.h"
#include "support/archive_files.h"
#include "support/errors.h"
#include "support/kernel.h"
#include "support/log_capture.h"

namespace skopsfs::fs {
namespace {

using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StatusTextsTest : public ::testing::Test {
 protected:
  NodeId Add(const std::string& text) { return texts_.Add(kStatusFiles[0], text, root_); }

  const testing::LogCapture log_;
  struct stat root_ {};
  std::atomic<uint64_t> made_ = 0;
  StatusTexts texts_{made_};
};

TEST_F(StatusTextsTest, EachIsANodeOfItsOwnWithItsSize) {
  root_.st_uid = 17;
  const auto first = Add("one");
  const auto second = Add("another");
  EXPECT_NE(first, second);
  EXPECT_TRUE(first.is_status());
  EXPECT_NE(first, kStatusFolderNode);
  EXPECT_EQ(NodeId::From(second.number()), second);
  EXPECT_EQ(texts_.Find(first)->text, "one");
  EXPECT_EQ(texts_.Find(first)->attributes.st_size, 3);
  EXPECT_EQ(texts_.Find(second)->attributes.st_size, 7);
  EXPECT_EQ(texts_.Find(second)->attributes.st_uid, 17U);
  EXPECT_NE(texts_.Find(first)->attributes.st_ino, texts_.Find(second)->attributes.st_ino);
}

TEST_F(StatusTextsTest, OneThatIsForgottenIsGoneButForWhoReadsIt) {
  const auto node = Add("one");
  const auto held = texts_.Find(node);
  texts_.Forget(node);
  texts_.Forget(node);  // never happens, and harms nobody
  EXPECT_EQ(held->text, "one");
  EXPECT_THAT(log_.texts(), IsEmpty());
  EXPECT_EQ(ErrnoOf([&] { texts_.Find(node); }), EIO);
  EXPECT_THAT(log_.texts(), ElementsAre(HasSubstr("before another worker took over")));
}

TEST_F(StatusTextsTest, NoNodeIsUsedAgainByAnotherWorker) {
  const auto old = Add("of the first worker");
  StatusTexts next(made_);
  const auto node = next.Add(kStatusFiles[0], "of the next", root_);
  EXPECT_NE(node, old);
  EXPECT_EQ(ErrnoOf([&] { next.Find(old); }), EIO);
  next.Forget(old);
  EXPECT_EQ(next.Find(node)->text, "of the next");
}

TEST_F(StatusTextsTest, WhenTheNumbersBeginAnew) {
  const auto first = Add("first");
  const uint64_t room = (uint64_t{1} << NodeId::kIndexBits) - first.index;
  for (const uint64_t made : {room - 1, room, 2 * room - 1, 2 * room}) {
    made_ = made;
    const auto node = Add("later");
    EXPECT_NE(node, first) << made;
    EXPECT_GE(node.index, first.index);
    EXPECT_EQ(NodeId::From(node.number()), node) << made;
  }
  EXPECT_EQ(texts_.Find(first)->text, "first");
}

TEST_F(StatusTextsTest, AreBoundedInNumber) {
  std::set<uint32_t> nodes;
  NodeId last;
  for (int i = 0; i < 1000; ++i) nodes.insert((last = Add("")).index);
  EXPECT_EQ(nodes.size(), 1000U);
  EXPECT_EQ(ErrnoOf([&] { Add(""); }), ENFILE);
  texts_.Forget(last);
  EXPECT_EQ(ErrnoOf([&] { Add(""); }), 0);
  EXPECT_EQ(ErrnoOf([&] { Add(""); }), ENFILE);
}

TEST_F(StatusTextsTest, AreBoundedInBytes) {
  const std::string half(size_t{32} << 20, 'x');
  const auto first = Add(half);
  Add(half);
  EXPECT_EQ(ErrnoOf([&] { Add("x"); }), ENFILE);
  texts_.Forget(first);
  EXPECT_EQ(ErrnoOf([&] { Add(half + "x"); }), ENFILE);
  EXPECT_EQ(ErrnoOf([&] { Add("x"); }), 0);
}

// --- as the filesystem shows them ---

class StatusNodesTest : public ::testing::Test {
 protected:
  StatusNodesTest() { testing::WriteFile(folder_ / "a.skops", testing::ArchiveOf("1")); }

  const testing::TempFolder folder_;
  const testing::LogCapture log_;
  FileSystem fs_{folder_.path().string(), {}};
  testing::Kernel kernel_{fs_};
};

TEST_F(StatusNodesTest, EachLookUpIsATextOfItsTrueSize) {
  const auto before = kernel_.Find(".skopsfs/status.json").value();
  EXPECT_EQ(before.entry_timeout, 0);
  EXPECT_EQ(before.attribute_timeout, kForever) << "a text never changes";
  const std::string old = fs_.StatusTextOf(before.node)->text;
  EXPECT_EQ(static_cast<size_t>(before.attributes.st_size), old.size());
  kernel_.Contents("a.skops/m");
  const auto after = kernel_.Find(".skopsfs/status.json").value();
  EXPECT_NE(after.node, before.node);
  EXPECT_NE(fs_.StatusTextOf(after.node)->text, old);
  EXPECT_GT(after.attributes.st_size, before.attributes.st_size) << "it tells of an archive more";
  // Who reads the old one in small pieces reads it to its end.
  std::string pieces;
  for (size_t at = 0; at < old.size(); at += 10) {
    pieces += fs_.StatusTextOf(before.node)->text.substr(at, 10);
    kernel_.Find(".skopsfs/status.json");
  }
  EXPECT_EQ(pieces, old);
  EXPECT_EQ(static_cast<size_t>(fs_.GetAttributes(before.node).attributes.st_size), old.size());
}

TEST_F(StatusNodesTest, TooManyThatAreNotForgotten) {
  for (int i = 0; i < 1000; ++i) kernel_.Node(".skopsfs/health");
  EXPECT_EQ(ErrnoOf([&] { kernel_.Node(".skopsfs/health"); }), ENFILE);
  kernel_.ForgetAll();
  EXPECT_EQ(fs_.StatusTextOf(kernel_.Node(".skopsfs/health"))->text, "ok\n");
}

TEST_F(StatusNodesTest, OneOfAnotherWorker) {
  const NodeId node = kernel_.Node(".skopsfs/health");
  FileSystem next(folder_.path().string(), {});
  EXPECT_EQ(ErrnoOf([&] { next.StatusTextOf(node); }), EIO);
  EXPECT_THAT(log_.texts(), ElementsAre(HasSubstr("before another worker took over")));
  EXPECT_EQ(ErrnoOf([&] { next.GetAttributes(node); }), EIO);
  next.Forget(node, 1);
  EXPECT_EQ(ErrnoOf([&] { next.MemberOf(node); }), ESTALE) << "it is no member";
}

}  // namespace
}  // namespace skopsfs::fs
