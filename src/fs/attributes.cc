#include "fs/attributes.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "archive/member_reader.h"
#include "catalog/slot_table.h"
#include "source/source.h"
#include "util/hash.h"
#include "zip/sizes.h"

namespace skopsfs::fs {
namespace {

constexpr blksize_t kBlockSize = 128 << 10;  // bytes; what cp and cat should read at a time
constexpr uint64_t kStatBlock = 512;
constexpr mode_t kReadBits = 0444;
// Links of a directory whose sub-directories nobody has counted. To programs that take two less
// than this for their number it means that they have to look.
constexpr nlink_t kUncounted = 1;

mode_t DirectoryMode(mode_t file) { return (file & kReadBits) | ((file & kReadBits) >> 2); }

ino_t InodeNumber(std::string_view path, const struct stat& source, uint32_t index) {
  const auto identity = catalog::SlotIdentity(source);
  uint64_t hash = util::Hash()
                      .Add(path)
                      .Add(path.size())
                      .Add(identity.device)
                      .Add(identity.inode)
                      .Add(identity.size)
                      .Add(static_cast<uint64_t>(identity.mtime))
                      .Add(static_cast<uint64_t>(identity.ctime))
                      .Add(index)
                      .value();
  hash ^= hash >> 32;
  return hash < 2 ? hash + 2 : hash;  // 0 means none, 1 looks like the root
}

// What all nodes of one source file have in common.
struct stat Common(std::string_view path, const struct stat& source, uint32_t index) {
  struct stat st {};
  st.st_ino = InodeNumber(path, source, index);
  st.st_uid = source.st_uid;
  st.st_gid = source.st_gid;
  st.st_mtim = source.st_mtim;
  st.st_ctim = source.st_ctim;
  st.st_atim = source.st_mtim;
  st.st_blksize = kBlockSize;
  return st;
}

void SetSize(struct stat& st, const zip::Sizes& sizes) {
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  st.st_size = static_cast<off_t>(std::min(sizes.shown, kMost));
  const uint64_t held = std::min(sizes.held, kMost);
  st.st_blocks = static_cast<blkcnt_t>(held / kStatBlock + (held % kStatBlock != 0));
}

}  // namespace

struct stat SourceAttributes(const std::string& path, const struct stat& source) {
  struct stat st = Common(path, source, 0);
  if (source::IsPlainFile(path, source.st_mode)) {
    st.st_mode = S_IFREG | (source.st_mode & kReadBits);
    st.st_nlink = 1;
    st.st_size = source.st_size;
    st.st_blocks = source.st_blocks;
    return st;
  }
  st.st_nlink = kUncounted;
  st.st_mode = S_ISDIR(source.st_mode) ? source.st_mode : S_IFDIR | DirectoryMode(source.st_mode);
  return st;
}

struct stat MemberAttributes(const catalog::Slot& slot, const archive::ArchiveIndex& archive,
                             uint32_t index, uint32_t first) {
  struct stat st = Common(slot.path, slot.st, first + index);
  const auto* entry = archive.EntryOf(index);
  if (entry != nullptr) {
    st.st_mtim = {.tv_sec = archive::ModificationTime(*entry), .tv_nsec = 0};
    st.st_atim = st.st_mtim;
  }
  if (entry == nullptr || archive.node(index).is_directory) {
    st.st_mode = S_IFDIR | DirectoryMode(slot.st.st_mode);
    st.st_nlink = 2 + archive.node(index).directory_count;
  } else {
    const bool can_be_read = !archive::RefusalOf(*entry);
    st.st_mode = S_IFREG | (can_be_read ? slot.st.st_mode & kReadBits : 0);
    st.st_nlink = 1;
    SetSize(st, zip::SizesOf(archive.directory(), *entry));
  }
  return st;
}

struct stat NameFolderAttributes(const catalog::Slot& slot, uint32_t index) {
  struct stat st = Common(slot.path, slot.st, index);
  st.st_mode = S_IFDIR | DirectoryMode(slot.st.st_mode);
  st.st_nlink = kUncounted;
  return st;
}

struct stat LinkAttributes(const catalog::Slot& slot, uint32_t index, size_t target_size) {
  constexpr mode_t kAllBits = 0777;  // which nobody looks at
  struct stat st = Common(slot.path, slot.st, index);
  st.st_mode = S_IFLNK | kAllBits;
  st.st_nlink = 1;
  st.st_size = static_cast<off_t>(target_size);
  return st;
}

}  // namespace skopsfs::fs
