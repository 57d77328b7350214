// Many threads on one filesystem while its archives are replaced: each file that is read is of one
// version, and what fails fails because its version has gone.

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
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

constexpr size_t kThreads = 16;
constexpr size_t kArchives = 4;
constexpr int kReplacements = 40;
constexpr size_t kSize = 40'000;

std::string VersionBytes(uint32_t version) { return testing::Noise(kSize, version); }

// Whichever version it is of, its first bytes tell.
std::string VersionArchive(uint32_t version) {
  const std::string data = VersionBytes(version);
  return testing::ArchiveBuilder()
      .Add({.name = "stored", .data = data})
      .Add({.name = "d/deflated", .data = data, .method = zip::kMethodDeflated})
      .Build();
}

class FileSystemThreads : public ::testing::Test {
 protected:
  FileSystemThreads() {
    for (uint32_t v = 0; v < kReplacements; ++v) versions_.push_back(VersionBytes(v));
    for (size_t i = 0; i < kArchives; ++i) {
      testing::WriteFile(Path(i), VersionArchive(0));
    }
  }

  std::string Path(size_t i) const { return folder_ / (std::to_string(i) + ".skops"); }

  void ExpectOneVersion(const std::string& bytes) const {
    for (const auto& version : versions_) {
      if (bytes.compare(0, 16, version, 0, 16) == 0) {
        EXPECT_TRUE(bytes == version) << "a mix of versions";
        return;
      }
    }
    ADD_FAILURE() << "bytes of no version at all";
  }

  // Reads a member in pieces, as the kernel does, and checks that they fit together.
  void ReadWhole(FileSystem& fs, testing::Kernel& kernel, const std::string& path) const {
    constexpr size_t kPiece = 7000;
    const auto member = fs.MemberOf(kernel.Node(path));
    std::string bytes;
    while (true) {
      const std::string piece = kernel.Read(member, bytes.size(), kPiece);
      bytes += piece;
      if (piece.size() < kPiece) break;
    }
    ExpectOneVersion(bytes);
  }

  void List(FileSystem& fs, testing::Kernel& kernel, const std::string& path) const {
    const auto node = kernel.Node(path);
    fs.OpenDirectory(node);
    kernel.List(node, true, 2);
  }

  void UseUntil(const std::atomic<bool>& stop, FileSystem& fs, size_t thread) const {
    for (size_t i = thread; !stop; ++i) {
      testing::Kernel kernel(fs);
      const std::string archive = std::to_string(i % kArchives) + ".skops";
      const int code = testing::ErrnoOf([&] {
        ReadWhole(fs, kernel, archive + (i % 3 == 0 ? "/stored" : "/d/deflated"));
        List(fs, kernel, archive);
        List(fs, kernel, "");
        const NodeId node = kernel.Node(archive + "/stored");
        const std::string bytes = kernel.Read(fs.MemberOf(node), 0, kSize);
        ExpectOneVersion(bytes);
        fs.ListXattr(node);
        // Whatever its name leads to by now.
        EXPECT_TRUE(kernel.Read(fs.MemberOf(node), 0, kSize) == bytes);
      });
      // The kernel asks again where a version has gone meanwhile.
      EXPECT_TRUE(code == 0 || code == ESTALE) << code;
      if (i % 10 == 0) fs.Tidy();
    }
  }

  const testing::TempFolder folder_;
  std::vector<std::string> versions_;
  const testing::LogCapture log_;
};

TEST_F(FileSystemThreads, ReplacedByRename) {
  FileSystem fs(folder_.path().string(),
                {.budget = {.descriptors = 100, .idle_index_bytes = 2000}});
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] { UseUntil(stop, fs, t); });
  }
  for (uint32_t v = 1; v < kReplacements; ++v) {
    for (size_t i = 0; i < kArchives; ++i) testing::ReplaceFile(Path(i), VersionArchive(v));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(fs.catalog().slots().All().size(), 1U);
  EXPECT_EQ(fs.catalog().open_archives().open_files(), 0U);
  for (const auto& line : log_.texts()) ADD_FAILURE() << line;
}

TEST_F(FileSystemThreads, OneMemberInManyThreads) {
  FileSystem fs(folder_.path().string(), {});
  testing::Kernel kernel(fs);
  const auto stored = fs.MemberOf(kernel.Node("0.skops/stored"));
  const auto deflated = fs.MemberOf(kernel.Node("0.skops/d/deflated"));
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      testing::Kernel reader(fs);
      for (size_t i = 0; i < 50; ++i) {
        const size_t offset = (i * 7919 + t * 104729) % kSize;
        const std::string expected = versions_[0].substr(offset, 3000);
        EXPECT_TRUE(reader.Read(stored, offset, 3000) == expected);
        EXPECT_TRUE(reader.Read(deflated, offset, 3000) == expected);
      }
    });
  }
  testing::ReplaceFile(Path(0), VersionArchive(1));
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace skopsfs::fs
