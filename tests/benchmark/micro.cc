// What parts cost without FUSE: Google Benchmark, run by hand. The times are those of one call.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "archive/archive_index.h"
#include "fs/file_system.h"
#include "support/archive_builder.h"
#include "support/kernel.h"
#include "support/memory_source.h"
#include "support/temp_folder.h"

namespace skopsfs {
namespace {

constexpr size_t kRead = 128 << 10;   // a request of the kernel
constexpr size_t kMember = 64 << 20;  // bytes

std::string NameOf(int64_t number) {
  return std::to_string(140117532755408 + 16 * number) + ".npy";
}

std::string ArchiveOfMany(int64_t members) {
  testing::ArchiveBuilder builder;
  for (int64_t i = 0; i < members; ++i) builder.Add({.name = NameOf(i), .data = "x"});
  return builder.Build();
}

// Finds, parses and checks a central directory and makes its tree.
void ParseCentralDirectory(benchmark::State& state) {
  const testing::MemorySource source(ArchiveOfMany(state.range(0)));
  for (auto _ : state) {
    const archive::ArchiveIndex index(source, "benchmark");
    benchmark::DoNotOptimize(index.node_count());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(ParseCentralDirectory)->Arg(100)->Arg(10'000)->Arg(1'000'000);

void LookUpName(benchmark::State& state) {
  const testing::MemorySource source(ArchiveOfMany(state.range(0)));
  const archive::ArchiveIndex index(source, "benchmark");
  int64_t number = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(index.tree().Find(0, NameOf(number)));
    number = (number + 7919) % state.range(0);
  }
}
BENCHMARK(LookUpName)->Arg(100)->Arg(10'000)->Arg(1'000'000);

// From a file that is in the page cache, all checks of versions included.
void ReadStoredMember(benchmark::State& state) {
  const testing::TempFolder folder;
  testing::ArchiveBuilder()
      .Add({.name = "m", .data = std::string(kMember, 'x')})
      .WriteTo(folder / "a.skops");
  fs::FileSystem file_system(folder.path().string(), {});
  testing::Kernel kernel(file_system);
  const auto handle = file_system.Open(kernel.Node("a.skops/m"));
  std::vector<std::byte> block(kRead);
  uint64_t offset = 0;
  for (auto _ : state) {
    file_system.Read(*handle, offset, block);
    offset = (offset + kRead) % kMember;
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kRead));
}
BENCHMARK(ReadStoredMember);

}  // namespace
}  // namespace skopsfs

BENCHMARK_MAIN();
