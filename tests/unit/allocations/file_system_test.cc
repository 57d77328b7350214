// What the filesystem does when memory ends: each allocation on the way of each call fails in turn,
// alone and with all that follow it. The call then works or says ENOMEM, the next one with memory
// is right, and nothing is left behind.

#include "fs/file_system.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/archive_files.h"
#include "support/failing_allocations.h"
#include "support/samples.h"
#include "support/temp_folder.h"
#include "unit/allocations/world.h"
#include "util/clock.h"
#include "util/log.h"

#ifdef __SANITIZE_ADDRESS__
extern "C" const char* __lsan_default_suppressions() { return "leak:libzip.so"; }  // see below
#endif

namespace skopsfs::fs {
namespace {

using testing::AllocationControl;

// Sanitizers allocate for themselves, and look for what is left behind, too.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::array<char, 256> at;  // for who looks why the test has died

void SayWhereAndDie(int signal) {
  [[maybe_unused]] const auto written = write(STDERR_FILENO, at.data(), std::strlen(at.data()));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

using Step = std::function<void(World&)>;

class FileSystemAllocationsTest : public ::testing::Test {
 protected:
  FileSystemAllocationsTest() {
    util::KeepTimeZone();
    for (const char* name : {"logistic_regression.skops", "logistic_regression.deflated.skops",
                             "logistic_regression.bzip2.skops", "logistic_regression.lzma.skops",
                             "knn_sparse.skops"}) {
      std::filesystem::copy(testing::DataPath(name), folder_ / name);
    }
    std::filesystem::create_directories(folder_ / "a folder with a name that is not short");
    std::filesystem::create_symlink("logistic_regression.skops", folder_ / "a longer link.skops");
    testing::WriteFile(folder_ / "no archive but called so.skops", "no archive");
    std::signal(SIGSEGV, SayWhereAndDie);
    std::signal(SIGABRT, SayWhereAndDie);
    QuietLog();
  }
  ~FileSystemAllocationsTest() override { util::SetLogSink(nullptr); }

  static void QuietLog() {
    util::SetLogSink([](util::LogLevel, const std::string&) { return true; });
  }

  // 0 or the errno.
  int Attempt(World& world, const Step& call, AllocationControl::How how, uint64_t number) {
    int code = -1;
    const testing::FailingAllocations failing(how, number);
    try {
      call(world);
      code = 0;
    } catch (const util::Error& error) {
      code = error.code();
      std::snprintf(reason_.data(), reason_.size(), "%s", error.what());
    } catch (const std::bad_alloc&) {
      code = ENOMEM;
    }
    return code;
  }

  // True when there was no such allocation. In a thread of its own, whose memory goes with it.
  bool TryOne(const Step& prepare, const Step& call, const std::string& right,
              AllocationControl::How how, uint64_t number) {
    bool is_past = false;
    std::thread([&] {
      const int64_t before = testing::LiveAllocations();
      is_past = TryInWorld(prepare, call, right, how, number);
      QuietLog();  // which forgets what it has said
      // A test that fails keeps why; whoever does something for the first time keeps something.
      if (!HasFailure() && !warming_ && !kSanitized) {
        EXPECT_LE(testing::LiveAllocations() - before, left_by_libzip_) << at.data();
      }
    }).join();
    return is_past;
  }

  bool TryInWorld(const Step& prepare, const Step& call, const std::string& right,
                  AllocationControl::How how, uint64_t number) {
    World world(folder_.path().string(), options_);
    prepare(world);
    const int code = Attempt(world, call, how, number);
    const bool is_past = testing::Allocations().failed == 0;
    ++(code == 0 ? worked_ : failed_);
    EXPECT_TRUE(code == 0 || code == ENOMEM) << at.data() << code << ": " << reason_.data();
    if (code == 0) {
      EXPECT_EQ(world.Result(), right) << at.data();
    }
    world.Take();
    world.Reset();
    try {
      call(world);
      EXPECT_EQ(world.Result(), right) << at.data() << ", and then";
    } catch (const std::exception& error) {
      ADD_FAILURE() << at.data() << ", and then: " << error.what();
    }
    world.Take();
    EXPECT_EQ(world.Leftovers(), "") << at.data();
    return is_past;
  }

  void Try(const char* what, const Step& prepare, const Step& call) {
    std::string right;
    {
      World world(folder_.path().string(), options_);
      prepare(world);
      call(world);
      right = world.Result();
      world.Take();
      ASSERT_EQ(world.Leftovers(), "") << what;
    }
    ASSERT_NE(right, "") << what;
    QuietLog();
    for (const auto how : {AllocationControl::kOne, AllocationControl::kAllFrom}) {
      warming_ = true;
      TryOne(prepare, call, right, how, 0);
      warming_ = false;
      worked_ = failed_ = 0;
      uint64_t number = 0;
      do {
        std::snprintf(at.data(), at.size(), "%s, allocation %d%s fails\n", what,
                      static_cast<int>(number), how == AllocationControl::kOne ? "" : " on");
      } while (!TryOne(prepare, call, right, how, number++) && number < before_stop_);
      std::printf("%-28s %4d allocations, %s: %4d failed, %4d worked all the same\n", what,
                  static_cast<int>(number - 1),
                  how == AllocationControl::kOne ? "each alone      " : "each, all behind", failed_,
                  worked_ - 1);
    }
  }

  // Calls with a node that a path leads to.
  Step Walk(const std::string& path) {
    return [path](World& world) { world.node = world.Walk(path); };
  }
  // The same with a member that is being read.
  Step Open(const std::string& path) {
    return [path](World& world) {
      world.node = world.Walk(path);
      world.member = world.fs.MemberOf(world.node);
    };
  }
  static Step Lookup(const std::string& name) {
    return [name](World& world) { world.entry = world.fs.Lookup(world.node, name); };
  }
  static void OpenIt(World& world) {
    world.member.reset();
    world.member = world.fs.MemberOf(world.node);
    world.value = "it can be read";
  }
  static void Read(World& world) { world.got = world.fs.Read(*world.member, 0, world.bytes); }
  // As the kernel asks for it: by node, whether anybody has read before or not.
  static void ReadIt(World& world) {
    OpenIt(world);
    Read(world);
  }
  static void List(World& world) {
    uint64_t position = 0;
    for (size_t before = SIZE_MAX; before != world.listed;) {
      before = world.listed;
      size_t looked_up = world.looked_up;
      world.fs.ReadDirectory(world.node, position, true, [&](const DirectoryEntry& item) {
        world.inodes.at(world.listed++) = item.entry.attributes.st_ino;
        if (item.name != "." && item.name != "..") world.nodes.at(looked_up++) = item.entry.node;
        position = item.next;
        return true;
      });
      world.looked_up = looked_up;  // the kernel gets nothing of what fails
    }
  }
  static void OpenDirectory(World& world) {
    world.value = world.fs.OpenDirectory(world.node) ? "never changes" : "may change";
  }

  const testing::TempFolder folder_;
  FileSystem::Options options_;
  uint64_t before_stop_ = 100'000;  // a guard
  std::array<char, 200> reason_{};
  bool warming_ = false;
  // Pieces: libzip 1.7.3 forgets what it has made of a layer when there is no memory for the next.
  int64_t left_by_libzip_ = 0;
  int worked_ = 0;
  int failed_ = 0;
};

TEST_F(FileSystemAllocationsTest, Lookups) {
  Try("lookup of an archive", Walk(""), Lookup("logistic_regression.deflated.skops"));
  Try("lookup of a folder", Walk(""), Lookup("a folder with a name that is not short"));
  Try("lookup of a link", Walk(""), Lookup("a longer link.skops"));
  Try("lookup of a member", Walk("logistic_regression.skops"), Lookup("140062682318960.npy"));
  Try("lookup of by-name", Walk("logistic_regression.skops"), Lookup("by-name"));
  Try("lookup of .skopsfs", Walk(""), Lookup(".skopsfs"));
}

TEST_F(FileSystemAllocationsTest, Members) {
  for (const std::string name :
       {"logistic_regression.skops", "logistic_regression.deflated.skops",
        "logistic_regression.bzip2.skops", "logistic_regression.lzma.skops"}) {
    const auto what = [&](const char* call) { return call + (" " + name); };
    const auto member = name + "/schema.json";
    left_by_libzip_ = name.find("bzip2") != name.npos ? 2 : 0;
    Try(what("open").c_str(), Walk(member), OpenIt);
    Try(what("read").c_str(), Open(member), Read);
    Try(what("first read").c_str(), Walk(member), ReadIt);
    options_.proves_first = true;
    Try(what("verify").c_str(), Walk(member), OpenIt);
    options_.proves_first = false;
  }
}

TEST_F(FileSystemAllocationsTest, Directories) {
  const std::string archive = "logistic_regression.deflated.skops";
  Try("opendir of the source", Walk(""), OpenDirectory);
  Try("readdir of the source", Walk(""), List);
  Try("opendir of an archive", Walk(archive), OpenDirectory);
  Try("readdir of an archive", Walk(archive), List);
}

TEST_F(FileSystemAllocationsTest, Questions) {
  const std::string member = "logistic_regression.deflated.skops/140062682318960.npy";
  const auto ask = [](World& world) { world.attributes = world.fs.GetAttributes(world.node); };
  Try("getattr of the source", Walk(""), ask);
  Try("getattr of a folder", Walk("a folder with a name that is not short"), ask);
  Try("getattr of a member", Walk(member), ask);
  Try("statfs", Walk(""), [](World& world) { world.got = world.fs.StatFs().f_namemax; });
  Try("getxattr", Walk(member), [](World& world) {
    world.value = world.fs.GetXattr(world.node, "user.skopsfs.offset").value();
  });
  Try("listxattr", Walk(member), [](World& world) {
    for (const auto& name : world.fs.ListXattr(world.node)) world.value += name;
  });
  Try("why it fails", Walk("no archive but called so.skops"), [](World& world) {
    world.value = world.fs.GetXattr(world.node, "user.skopsfs.error").value();
    if (world.value == "out of memory") throw std::bad_alloc();  // it is said there
  });
  for (const auto* file : {"health", "metrics", "status.json"}) {
    const std::string name = file;
    Try(("lookup of " + name).c_str(), Walk(".skopsfs"), [name](World& world) {
      const auto found = world.fs.Lookup(world.node, name).value();
      world.given.push_back(found.node);
      world.value = found.attributes.st_size > 0 ? "a text" : "";
    });
    Try(name.c_str(), Walk(".skopsfs/" + name), [](World& world) {
      world.status = world.fs.StatusTextOf(world.node);
      world.value = world.status->text.empty() ? "" : "a text";
    });
  }
}

TEST_F(FileSystemAllocationsTest, Changes) {
  const std::string archive = "logistic_regression.deflated.skops";
  const auto member = archive + "/schema.json";
  const auto replace = [&](World&) {
    std::filesystem::copy(folder_ / archive, folder_ / "new");
    std::filesystem::rename(folder_ / "new", folder_ / archive);
  };
  Try(
      "lookup of a new version",
      [&](World& world) {
        world.member = world.fs.MemberOf(world.Walk(member));
        world.node = kRoot;
        replace(world);
      },
      [archive](World& world) {
        world.given.push_back(world.fs.Lookup(world.node, archive).value().node);
        world.value = "new";
      });
  Try(
      "read of an old version",
      [&](World& world) {
        Open(member)(world);
        replace(world);
      },
      ReadIt);
  Try(
      "the names of an old version",
      [&](World& world) {
        Open(member)(world);
        replace(world);
        world.Walk(archive);
      },
      [](World& world) {
        const auto names = world.fs.NamesOf(world.member->slot, 0, 1000);
        world.value = names.front().name + std::to_string(names.size());
      });
  Try(
      "looking at open files",
      [&](World& world) {
        Open(member)(world);
        replace(world);
      },
      [](World& world) {
        world.fs.catalog().LookAtOpenFiles();
        world.value = std::to_string(world.fs.catalog().slots().Superseded().size());
      });
  // Which nobody could be told of.
  Try("forget and housekeeping", Walk(member), [](World& world) {
    for (const auto node : world.given) world.fs.Forget(node, 1);
    world.given.clear();
    world.fs.Tidy();
    world.value = "done";
  });
}

TEST_F(FileSystemAllocationsTest, Names) {
  const std::string archive = "knn_sparse.skops";
  const auto names = archive + "/by-name";
  Try("lookup in by-name", Walk(names), Lookup("_fit_X"));
  Try("lookup of a link in by-name", Walk(names), Lookup("_fit_X.npz"));
  Try("opendir of by-name", Walk(names), OpenDirectory);
  Try("readdir of by-name", Walk(names), List);
  Try("readlink", Walk(names + "/_fit_X.npz"),
      [](World& world) { world.value = world.fs.ReadLink(world.node); });
  Try("lookup in an npz", Walk(names + "/_fit_X"), Lookup("indices.npy"));
  Try("opendir of an npz", Walk(names + "/_fit_X"), OpenDirectory);
  Try("readdir of an npz", Walk(names + "/_fit_X"), List);
  Try("open in an npz", Walk(names + "/_fit_X/indices.npy"), OpenIt);
  Try("read in an npz", Open(names + "/_fit_X/indices.npy"), Read);
  Try("first read in an npz", Walk(names + "/_fit_X/indices.npy"), ReadIt);
}

}  // namespace
}  // namespace skopsfs::fs
