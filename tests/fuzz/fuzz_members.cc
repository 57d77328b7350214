#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "archive/archive_index.h"
#include "archive/decoder.h"
#include "archive/member_reader.h"
#include "support/memory_source.h"
#include "util/error.h"
#include "util/log.h"
#include "zip/format.h"

// Every member of any archive: its first MiB can be read, or util::Error says why not.

namespace {

using skopsfs::archive::ArchiveIndex;
using skopsfs::archive::Extent;
using skopsfs::testing::MemorySource;

constexpr uint64_t kMostBytes = uint64_t{1} << 20;

void Require(bool holds) {
  if (!holds) std::abort();
}

void ReadMember(const std::shared_ptr<const MemorySource>& source, const ArchiveIndex& index,
                const skopsfs::zip::Entry& entry) {
  const Extent extent = skopsfs::archive::LocateMember(*source, index, entry);
  Require(extent.offset <= source->size());
  Require(extent.compressed_size <= source->size() - extent.offset);
  std::vector<std::byte> bytes(static_cast<size_t>(std::min(extent.size, kMostBytes)));
  if (extent.method == skopsfs::zip::kMethodStored) {
    Require(source->ReadAt(extent.offset, bytes) == bytes.size());
    return;
  }
  skopsfs::archive::Decoder decoder(source, extent);
  decoder.Read(0, bytes);
  // A second read, before the first one's end, must give the same.
  std::vector<std::byte> half(bytes.size() / 2);
  decoder.Read(bytes.size() - half.size(), half);
  Require(std::equal(half.begin(), half.end(), bytes.end() - static_cast<ptrdiff_t>(half.size())));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  skopsfs::util::SetLogSink([](auto, const auto&) { return true; });
  const auto source =
      std::make_shared<const MemorySource>(std::string(reinterpret_cast<const char*>(data), size));
  try {
    const ArchiveIndex index(*source, "fuzz");
    for (uint32_t i = 0; i < index.node_count(); ++i) {
      const auto* entry = index.EntryOf(i);
      if (entry == nullptr || index.node(i).is_directory) continue;
      try {
        ReadMember(source, index, *entry);
      } catch (const skopsfs::util::Error& error) {
        Require(error.code() > 0);
      }
    }
  } catch (const skopsfs::util::Error& error) {
    Require(error.code() > 0);
  }
  return 0;
}
