// What parts cost without FUSE: Google Benchmark, run by hand. The times are those of one call.

#include <benchmark/benchmark.h>
#include <libdeflate.h>
#include <zlib.h>

#include <memory>
#include <string>
#include <vector>

#include "archive/archive_index.h"
#include "archive/decode_stream.h"
#include "archive/decoder.h"
#include "fs/file_system.h"
#include "support/archive_builder.h"
#include "support/kernel.h"
#include "support/memory_source.h"
#include "support/samples.h"
#include "support/temp_folder.h"
#include "zip/format.h"

namespace skopsfs {
namespace {

constexpr size_t kRead = 128 << 10;   // a request of the kernel
constexpr size_t kMember = 64 << 20;  // bytes
constexpr size_t kPiece = 256 << 10;

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
  const auto member = file_system.MemberOf(kernel.Node("a.skops/m"));
  std::vector<std::byte> block(kRead);
  uint64_t offset = 0;
  for (auto _ : state) {
    file_system.Read(member, offset, block);
    offset = (offset + kRead) % kMember;
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kRead));
}
BENCHMARK(ReadStoredMember);

// What decodes deflate: the one in use, in the pieces that a decoder asks for, and those that it
// was chosen from. libdeflate decodes whole members only.
const std::string& Weights() {
  static const std::string weights = testing::Numbers(kMember);
  return weights;
}
const std::string& DeflatedWeights() {
  static const std::string deflated = testing::Deflate(Weights());
  return deflated;
}

void InflateByIsal(benchmark::State& state) {
  const testing::MemorySource source(DeflatedWeights());
  const archive::Extent extent{.compressed_size = source.size(), .method = zip::kMethodDeflated};
  std::vector<std::byte> piece(kPiece);
  for (auto _ : state) {
    const auto stream = archive::OpenDecodeStream(source, extent);
    while (stream->Read(piece) == piece.size()) benchmark::DoNotOptimize(piece.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kMember));
}
BENCHMARK(InflateByIsal);

void InflateByZlib(benchmark::State& state) {
  std::string piece(kPiece, '\0');
  for (auto _ : state) {
    z_stream stream{};
    inflateInit2(&stream, -15);
    std::string input = DeflatedWeights();
    stream.next_in = reinterpret_cast<Bytef*>(input.data());
    stream.avail_in = static_cast<uInt>(input.size());
    do {
      stream.next_out = reinterpret_cast<Bytef*>(piece.data());
      stream.avail_out = static_cast<uInt>(piece.size());
    } while (inflate(&stream, Z_NO_FLUSH) == Z_OK);
    inflateEnd(&stream);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kMember));
}
BENCHMARK(InflateByZlib);

void InflateWholeByLibdeflate(benchmark::State& state) {
  std::string whole(kMember, '\0');
  libdeflate_decompressor* decompressor = libdeflate_alloc_decompressor();
  for (auto _ : state) {
    const auto& input = DeflatedWeights();
    libdeflate_deflate_decompress(decompressor, input.data(), input.size(), whole.data(),
                                  whole.size(), nullptr);
  }
  libdeflate_free_decompressor(decompressor);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kMember));
}
BENCHMARK(InflateWholeByLibdeflate);

// Of a member that was read once: what a page here and there takes.
void DecodeAPageAnywhere(benchmark::State& state) {
  const auto source = std::make_shared<testing::MemorySource>(DeflatedWeights());
  archive::Decoder decoder(source, {.compressed_size = source->size(),
                                    .size = kMember,
                                    .crc32 = testing::Crc32(Weights()),
                                    .method = zip::kMethodDeflated});
  std::vector<std::byte> page(4096);
  decoder.Read(kMember - page.size(), page);
  uint64_t offset = 0;
  for (auto _ : state) {
    offset = (offset + 7919 * page.size()) % kMember;
    decoder.Read(offset, page);
  }
}
BENCHMARK(DecodeAPageAnywhere);

}  // namespace
}  // namespace skopsfs

BENCHMARK_MAIN();
