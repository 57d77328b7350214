// What benchmarks do with files, timed where it happens: reads and maps them as a program would and
// prints one JSON object. It begins when a line comes in, so that several can begin at once.
//
//   benchmark_client scan PATH               maps it and adds up all of its words
//   benchmark_client read PATH OFFSET SIZE   the same by read calls of 1 MiB; SIZE 0: to its end
//   benchmark_client touch PATH COUNT        maps it, takes a byte of COUNT random pages
//   benchmark_client ask PATH COUNT          asks for its attributes, which the server must answer
//   benchmark_client look PATH...            asks for attributes of many files, once each
//   benchmark_client map PATH COUNT          opens it, asks for its size, reads 128 bytes, maps it,
//                                            closes it, COUNT times, after one that does not count
//   benchmark_client open PATH...            opens each, reads all of it and closes it, likewise
//   benchmark_client spread THREADS BLOCK PATH...
//                                            reads blocks of all files in random order, once each
//   benchmark_client resident PATH           how many of its bytes are in the page cache

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kPage = 4096;
constexpr size_t kBlock = 1 << 20;

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

int Open(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) Fail(path);
  return fd;
}

uint64_t SizeOf(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0) Fail("fstat");
  return static_cast<uint64_t>(st.st_size);
}

std::span<const std::byte> Map(int fd) {
  const size_t size = SizeOf(fd);
  void* at = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) Fail("mmap");
  return {static_cast<const std::byte*>(at), size};
}

uint64_t Sum(std::span<const std::byte> bytes) {
  uint64_t sum = 0;
  for (size_t at = 0; at + sizeof(uint64_t) <= bytes.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof(word));
    sum += word;
  }
  return sum;
}

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void WaitForGo() {
  if (std::getchar() == EOF) std::exit(2);
}

void PrintTotal(Clock::time_point start, uint64_t bytes, uint64_t sum) {
  std::printf("{\"seconds\": %.9f, \"bytes\": %lu, \"sum\": %lu}\n", Since(start), bytes, sum);
  std::fflush(stdout);
}

void PrintEach(std::vector<double>& seconds) {
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double part) {
    return seconds[static_cast<size_t>(part * static_cast<double>(seconds.size() - 1))];
  };
  std::printf(
      "{\"median\": %.9f, \"p99\": %.9f, \"mean\": %.9f, \"count\": %zu}\n", at(0.5), at(0.99),
      std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(seconds.size()),
      seconds.size());
}

void Scan(const char* path) {
  WaitForGo();
  const auto start = Clock::now();
  const auto bytes = Map(Open(path));
  const uint64_t sum = Sum(bytes);
  PrintTotal(start, bytes.size(), sum);
  WaitForGo();  // stays mapped until then
}

void Read(const char* path, uint64_t offset, uint64_t size) {
  std::vector<std::byte> block(kBlock);
  WaitForGo();
  const auto start = Clock::now();
  const int fd = Open(path);
  const uint64_t end = size == 0 ? SizeOf(fd) : offset + size;
  uint64_t sum = 0;
  for (uint64_t at = offset; at < end;) {
    const ssize_t got =
        pread(fd, block.data(), std::min<uint64_t>(block.size(), end - at), static_cast<off_t>(at));
    if (got <= 0) Fail("pread");
    sum += Sum(std::span(block).first(static_cast<size_t>(got)));
    at += static_cast<uint64_t>(got);
  }
  PrintTotal(start, end - offset, sum);
}

void Touch(const char* path, size_t count) {
  const auto bytes = Map(Open(path));
  madvise(const_cast<std::byte*>(bytes.data()), bytes.size(), MADV_RANDOM);
  std::vector<uint32_t> pages(bytes.size() / kPage);
  std::iota(pages.begin(), pages.end(), 0);
  std::shuffle(pages.begin(), pages.end(), std::mt19937_64(1));
  pages.resize(std::min(count, pages.size()));
  std::vector<double> seconds;
  seconds.reserve(pages.size());
  unsigned sum = 0;
  WaitForGo();
  for (const size_t page : pages) {
    const auto start = Clock::now();
    sum += std::to_integer<unsigned>(*static_cast<const volatile std::byte*>(&bytes[page * kPage]));
    seconds.push_back(Since(start));
  }
  if (sum == 0) std::fputs("all bytes are 0\n", stderr);
  PrintEach(seconds);
}

void Ask(const std::vector<const char*>& paths, int flags) {
  std::vector<double> seconds;
  seconds.reserve(paths.size());
  struct statx st;
  WaitForGo();
  for (const char* path : paths) {
    const auto start = Clock::now();
    if (statx(AT_FDCWD, path, flags, STATX_BASIC_STATS, &st) != 0) Fail("statx");
    seconds.push_back(Since(start));
  }
  PrintEach(seconds);
}

void MapSmall(const char* path, size_t count) {
  constexpr size_t kHeader = 128;
  std::array<std::byte, kHeader> header;
  std::vector<double> seconds(count + 1);
  WaitForGo();
  for (auto& taken : seconds) {
    const auto start = Clock::now();
    const int fd = Open(path);
    const auto size = SizeOf(fd);
    if (pread(fd, header.data(), header.size(), 0) <= 0) Fail("pread");
    void* const at = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    taken = Since(start);
    if (at == MAP_FAILED || munmap(at, size) != 0) Fail("mmap");
  }
  seconds.erase(seconds.begin());
  PrintEach(seconds);
}

void OpenEach(std::span<char*> paths) {
  std::vector<std::byte> block(kPage);
  uint64_t bytes = 0;
  uint64_t sum = 0;
  const auto read_all = [&] {
    for (const char* path : paths) {
      const int fd = Open(path);
      ssize_t got = 0;
      while ((got = read(fd, block.data(), block.size())) > 0) {
        bytes += static_cast<uint64_t>(got);
        sum += Sum(std::span(block).first(static_cast<size_t>(got)));
      }
      if (got < 0) Fail(path);
      close(fd);
    }
  };
  WaitForGo();
  read_all();
  bytes = sum = 0;
  const auto start = Clock::now();
  read_all();
  PrintTotal(start, bytes, sum);
}

void Spread(size_t threads, size_t block_size, std::span<char*> paths) {
  struct Piece {
    int fd;
    uint64_t offset;
  };
  std::vector<Piece> pieces;
  for (const char* path : paths) {
    const int fd = Open(path);
    for (uint64_t at = 0; at < SizeOf(fd); at += block_size) pieces.push_back({fd, at});
  }
  std::shuffle(pieces.begin(), pieces.end(), std::mt19937_64(1));
  std::atomic<size_t> next = 0;
  std::atomic<uint64_t> total = 0;
  std::atomic<uint64_t> sum = 0;
  WaitForGo();
  const auto start = Clock::now();
  std::vector<std::thread> running;
  for (size_t i = 0; i < threads; ++i) {
    running.emplace_back([&] {
      std::vector<std::byte> block(block_size);
      for (size_t at = next++; at < pieces.size(); at = next++) {
        const ssize_t got =
            pread(pieces[at].fd, block.data(), block.size(), static_cast<off_t>(pieces[at].offset));
        if (got <= 0) Fail("pread");
        total += static_cast<uint64_t>(got);
        sum += Sum(std::span(block).first(std::min(kPage, block.size())));
      }
    });
  }
  for (auto& thread : running) thread.join();
  PrintTotal(start, total, sum);
}

void Resident(const char* path) {
  const auto bytes = Map(Open(path));
  const size_t pages = (bytes.size() + kPage - 1) / kPage;
  std::vector<unsigned char> in_core(pages);
  if (mincore(const_cast<std::byte*>(bytes.data()), bytes.size(), in_core.data()) != 0) {
    Fail("mincore");
  }
  const auto count = std::count_if(in_core.begin(), in_core.end(), [](auto c) { return c & 1; });
  std::printf("{\"bytes\": %zu}\n", static_cast<size_t>(count) * kPage);
}

}  // namespace

int main(int argc, char** argv) {
  const std::span words(argv, static_cast<size_t>(argc));
  const std::string what = argc > 2 ? words[1] : "";
  const auto number = [&](size_t i) { return i < words.size() ? std::stoull(words[i]) : 0; };
  if (what == "scan") {
    Scan(words[2]);
  } else if (what == "read") {
    Read(words[2], number(3), number(4));
  } else if (what == "touch") {
    Touch(words[2], number(3));
  } else if (what == "ask") {
    Ask(std::vector<const char*>(number(3), words[2]), AT_STATX_FORCE_SYNC);
  } else if (what == "look") {
    Ask({words.begin() + 2, words.end()}, 0);
  } else if (what == "map") {
    MapSmall(words[2], number(3));
  } else if (what == "open") {
    OpenEach(words.subspan(2));
  } else if (what == "spread") {
    Spread(number(2), number(3), words.subspan(4));
  } else if (what == "resident") {
    Resident(words[2]);
  } else {
    std::fputs("see the top of client.cc\n", stderr);
    return 2;
  }
  return 0;
}
