// Archives as large as the format allows, in sparse files; and the genuine ones in tests/data.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/archive_builder.h"
#include "support/open_archive.h"
#include "support/samples.h"
#include "support/temp_folder.h"
#include "zip/format.h"

namespace skopsfs::archive {
namespace {

using testing::ArchiveBuilder;
using testing::FindExtent;
using testing::FindNode;
using testing::OpenArchiveFile;
using testing::ReadSome;

constexpr uint64_t kGiB = uint64_t{1} << 30;

class LargeArchives : public ::testing::Test {
 protected:
  void Open(const std::string& path) {
    file_ = OpenArchiveFile(path);
    index_ = std::make_unique<ArchiveIndex>(*file_, path);
  }
  std::string Read(const std::string& name, uint64_t offset, size_t size) {
    MemberReader reader(file_, FindExtent(*file_, *index_, name), pool_);
    return ReadSome(reader, offset, size);
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "large.skops";
  std::shared_ptr<const ArchiveFile> file_;
  std::unique_ptr<ArchiveIndex> index_;
  DecoderPool pool_;
};

TEST_F(LargeArchives, FiveGigabytesInSmallerMembers) {
  ArchiveBuilder builder;
  for (int i = 0; i < 5; ++i) {
    builder.Add({.name = "hole" + std::to_string(i), .hole = kGiB});
    builder.Add({.name = "mark" + std::to_string(i), .data = "after hole " + std::to_string(i)});
  }
  builder.Add({.name = "deflated", .data = testing::SampleLines(), .method = zip::kMethodDeflated});
  builder.WriteTo(path_);
  ASSERT_GT(builder.layout().directory, 5 * kGiB);
  Open(path_);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Read("mark" + std::to_string(i), 0, 100), "after hole " + std::to_string(i));
    EXPECT_EQ(Read("hole" + std::to_string(i), kGiB - 3, 10), std::string(3, '\0'));
  }
  EXPECT_TRUE(Read("deflated", 0, 1 << 20) == testing::SampleLines());
}

TEST_F(LargeArchives, MemberOverFourGiB) {
  constexpr uint64_t kSize = 4 * kGiB + 12345;
  ArchiveBuilder builder;
  builder.Prepend("stub").Add({.name = "big.npy", .hole = kSize}).Add({.name = "b", .data = "end"});
  builder.WriteTo(path_);
  Open(path_);
  const auto extent = FindExtent(*file_, *index_, "big.npy");
  EXPECT_EQ(extent.size, kSize);
  EXPECT_EQ(extent.compressed_size, kSize);
  EXPECT_EQ(extent.offset, builder.layout().members[0].data);
  EXPECT_EQ(Read("big.npy", kSize - 10, 100), std::string(10, '\0'));
  EXPECT_EQ(Read("big.npy", 4 * kGiB - 50, 100), std::string(100, '\0'));
  EXPECT_EQ(Read("b", 0, 10), "end");
}

TEST_F(LargeArchives, SeventyThousandMembers) {
  constexpr int kCount = 70'000;
  ArchiveBuilder builder;
  for (int i = 0; i < kCount; ++i) {
    builder.Add({.name = std::to_string(i) + ".npy", .data = std::to_string(i)});
  }
  builder.WriteTo(path_);
  ASSERT_NE(builder.layout().zip64_end_record, 0U);
  Open(path_);
  EXPECT_EQ(index_->node_count(), kCount + 1U);
  for (int i = 0; i < kCount; i += 997) {
    EXPECT_EQ(Read(std::to_string(i) + ".npy", 0, 10), std::to_string(i));
  }
  EXPECT_EQ(Read("69999.npy", 0, 10), "69999");
}

TEST_F(LargeArchives, GenuineOnesHaveTheirCrcs) {
  size_t members = 0;
  for (const std::string name :
       {"arrays", "arrays.deflated", "kmeans", "knn_sparse", "logistic_regression",
        "logistic_regression.bzip2", "logistic_regression.deflated", "logistic_regression.lzma",
        "tfidf"}) {
    Open(testing::DataPath(name + ".skops"));
    EXPECT_NO_THROW(FindNode(*index_, "schema.json")) << name;
    for (uint32_t i = 1; i < index_->node_count(); ++i) {
      const auto* entry = index_->EntryOf(i);
      ASSERT_NE(entry, nullptr);
      const auto bytes = Read(index_->PathOf(i), 0, entry->size + 1);
      EXPECT_EQ(bytes.size(), entry->size) << name << " " << index_->PathOf(i);
      EXPECT_EQ(testing::Crc32(bytes), entry->crc32) << name << " " << index_->PathOf(i);
      ++members;
    }
  }
  EXPECT_GT(members, 50U);
}

}  // namespace
}  // namespace skopsfs::archive
