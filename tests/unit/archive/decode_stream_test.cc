#include "archive/decode_stream.h"

#include <gtest/gtest.h>

#include <string>

#include "support/archive_builder.h"
#include "support/errors.h"
#include "support/memory_source.h"
#include "support/samples.h"
#include "zip/format.h"

namespace skopsfs::archive {
namespace {

std::string ReadNext(DecodeStream& stream, size_t size) {
  std::string bytes(size, '?');
  bytes.resize(stream.Read(std::as_writable_bytes(std::span(bytes))));
  return bytes;
}

TEST(CanDecode, MethodsOfZipfile) {
  EXPECT_TRUE(CanDecode(zip::kMethodDeflated));
  EXPECT_TRUE(CanDecode(zip::kMethodBzip2));
  EXPECT_TRUE(CanDecode(zip::kMethodLzma));
}

TEST(CanDecode, UnknownMethods) {
  EXPECT_FALSE(CanDecode(1));
  EXPECT_FALSE(CanDecode(9));   // Deflate64
  EXPECT_FALSE(CanDecode(95));  // xz: some libzip can, zipfile cannot
  EXPECT_FALSE(CanDecode(4711));
  EXPECT_FALSE(CanDecode(65535));
  EXPECT_FALSE(CanDecode(65534));
}

TEST(DecodeStream, ReadsOnAndStopsAtTheEnd) {
  const std::string lines = testing::SampleLines();
  for (const uint16_t method : {zip::kMethodDeflated, zip::kMethodBzip2, zip::kMethodLzma}) {
    const std::string compressed = testing::CompressedSampleLines(method);
    const testing::MemorySource source(".." + compressed + "..");
    const auto stream = OpenDecodeStream(source, {.offset = 2,
                                                  .compressed_size = compressed.size(),
                                                  .size = lines.size(),
                                                  .crc32 = testing::Crc32(lines),
                                                  .method = method});
    EXPECT_EQ(ReadNext(*stream, 0), "");
    EXPECT_EQ(ReadNext(*stream, 5), lines.substr(0, 5)) << method;
    EXPECT_TRUE(ReadNext(*stream, 300'000) == lines.substr(5, 300'000)) << method;
    EXPECT_TRUE(ReadNext(*stream, 1'000'000) == lines.substr(300'005)) << method;
    EXPECT_EQ(ReadNext(*stream, 10), "") << method;
  }
}

TEST(DecodeStream, ErrorOfTheSourceComesThrough) {
  class Failing : public testing::MemorySource {
   public:
    using MemorySource::MemorySource;
    size_t ReadAt(uint64_t, std::span<std::byte>) const override {
      throw util::Error(ESTALE, "gone");
    }
  };
  const Failing source("");
  for (const uint16_t method : {zip::kMethodDeflated, zip::kMethodBzip2, zip::kMethodLzma}) {
    EXPECT_EQ(testing::FailureOf([&] {
                const Extent extent{.compressed_size = 100, .size = 100, .method = method};
                ReadNext(*OpenDecodeStream(source, extent), 1);
              }),
              std::to_string(ESTALE) + ": gone")
        << method;
  }
}

}  // namespace
}  // namespace skopsfs::archive
