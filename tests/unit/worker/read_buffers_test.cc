#include "worker/read_buffers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <list>
#include <set>
#include <thread>
#include <vector>

namespace skopsfs::worker {
namespace {

TEST(ReadBuffers, BeginWhereTheyAreToldTo) {
  ReadBuffers buffers;
  const ReadBuffers::Buffer buffer(buffers);
  for (const size_t place : {0, 1, 867, 4095, 4096, 123456789}) {
    const auto memory = buffer.At(place, ReadBuffers::kMost);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 4096, place % 4096);
    EXPECT_EQ(memory.size(), ReadBuffers::kMost);
    std::fill(memory.begin(), memory.end(), std::byte{1});  // all of it is ours
  }
}

TEST(ReadBuffers, ThoseInUseAreApart) {
  ReadBuffers buffers;
  std::list<ReadBuffers::Buffer> taken;
  std::vector<std::byte*> starts;
  for (int i = 0; i < 20; ++i) starts.push_back(taken.emplace_back(buffers).At(0, 1).data());
  std::sort(starts.begin(), starts.end());
  for (size_t i = 1; i < starts.size(); ++i) {
    EXPECT_GE(starts[i] - starts[i - 1], static_cast<ptrdiff_t>(ReadBuffers::kMost + 4095));
  }
}

TEST(ReadBuffers, AreUsedAgain) {
  ReadBuffers buffers;
  std::set<std::byte*> starts;
  for (int i = 0; i < 100; ++i) starts.insert(ReadBuffers::Buffer(buffers).At(0, 1).data());
  EXPECT_EQ(starts.size(), 1U);
}

TEST(ReadBuffers, ManyThreads) {
  ReadBuffers buffers;
  std::vector<std::thread> threads;
  for (int i = 0; i < 24; ++i) {
    threads.emplace_back([&buffers, mark = static_cast<std::byte>(i)] {
      for (int round = 0; round < 200; ++round) {
        const ReadBuffers::Buffer buffer(buffers);
        const auto memory = buffer.At(static_cast<size_t>(round), 5000);
        std::fill(memory.begin(), memory.end(), mark);
        const bool own = std::all_of(memory.begin(), memory.end(),
                                     [mark](std::byte byte) { return byte == mark; });
        EXPECT_TRUE(own);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace skopsfs::worker
