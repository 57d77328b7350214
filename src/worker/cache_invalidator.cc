#include "worker/cache_invalidator.h"

#include <linux/fuse.h>
#include <sys/uio.h>

#include <array>

namespace skopsfs::worker {
namespace {

// Since Linux 6.18; not in the headers of Debian 12.
constexpr int kNotifyPrune = 9;

struct PruneOut {
  uint32_t count = 0;
  uint32_t padding = 0;
  uint64_t spare = 0;
};

iovec PartOf(const void* bytes, size_t size) { return {const_cast<void*>(bytes), size}; }

// An error means that the kernel has forgotten it already, or that there is no room.
void Notify(int to, int code, std::array<iovec, 4> parts) {
  fuse_out_header header{};
  header.error = code;
  parts[0] = PartOf(&header, sizeof(header));
  for (const auto& part : parts) header.len += static_cast<uint32_t>(part.iov_len);
  [[maybe_unused]] const auto written = writev(to, parts.data(), parts.size());
}

}  // namespace

void CacheInvalidator::Prune(std::span<const uint64_t> nodes) const {
  if (nodes.empty()) return;
  const PruneOut prune{.count = static_cast<uint32_t>(nodes.size())};
  Notify(mount_, kNotifyPrune,
         {iovec{}, PartOf(&prune, sizeof(prune)), PartOf(nodes.data(), nodes.size_bytes())});
}

void CacheInvalidator::InvalidateEntry(const fs::NamedNode& named) const {
  fuse_notify_inval_entry_out entry{};
  entry.parent = named.parent.number();
  entry.namelen = static_cast<uint32_t>(named.name.size());
  Notify(
      notifier_, FUSE_NOTIFY_INVAL_ENTRY,
      {iovec{}, PartOf(&entry, sizeof(entry)), PartOf(named.name.c_str(), named.name.size() + 1)});
}

}  // namespace skopsfs::worker
