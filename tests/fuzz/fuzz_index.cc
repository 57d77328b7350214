#include <cstdint>
#include <cstdlib>
#include <string>

#include "archive/archive_index.h"
#include "support/memory_source.h"
#include "util/error.h"
#include "util/log.h"

// The ZIP reader on any bytes: it makes an index that holds together, or throws util::Error.

namespace {

using skopsfs::archive::ArchiveIndex;
using skopsfs::archive::Node;

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckChildren(const ArchiveIndex& index, uint32_t directory) {
  const Node node = index.node(directory);
  Require(node.child_count == 0 || node.is_directory);
  std::string_view before;
  for (uint32_t i = 0; i < node.child_count; ++i) {
    const uint32_t child = node.first_child + i;
    Require(child > directory && child < index.node_count());
    Require(index.node(child).parent == directory);
    const auto name = index.tree().Name(index.node(child));
    Require(!name.empty() && name != "." && name != ".." && name.size() <= 255);
    Require(name.find('/') == name.npos && name.find('\0') == name.npos);
    Require(before < name);
    Require(index.tree().Find(directory, name) == child);
    before = name;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  skopsfs::util::SetLogSink([](auto, const auto&) { return true; });
  const skopsfs::testing::MemorySource source(
      std::string(reinterpret_cast<const char*>(data), size));
  try {
    const ArchiveIndex index(source, "fuzz");
    for (uint32_t i = 0; i < index.node_count(); ++i) {
      CheckChildren(index, i);
      if (i != 0) Require(!index.PathOf(i).empty());
      if (const auto* entry = index.EntryOf(i)) {
        Require(index.directory().DataLimit(*entry) <= index.directory().start);
        skopsfs::archive::ModificationTime(*entry);
      }
    }
  } catch (const skopsfs::util::Error& error) {
    Require(error.code() > 0);
  }
  return 0;
}
