#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "archive/archive_file.h"
#include "archive/archive_index.h"
#include "archive/inner_archive.h"
#include "archive/member_reader.h"
#include "by_name/name_tree.h"
#include "catalog/descriptor_keeper.h"
#include "handover/identity.h"
#include "handover/slot_store.h"
#include "util/error.h"
#include "util/long_mutex.h"

namespace skopsfs::catalog {

// One folder of the source or one version of one archive or other file, as the kernel knows it:
// node ids are made of a slot's id and an index inside it. Ids are never used again. What is not
// guarded here is immutable; a slot keeps its parent alive, so that its path can always be told.
struct Slot {
  uint64_t id = 0;
  bool is_folder = false;
  bool is_plain_file = false;          // one that lies beside the archives
  std::shared_ptr<const Slot> parent;  // nullptr in the root
  std::string name;
  std::string path;             // relative to the source, as it was when the slot was made
  handover::Identity identity;  // of a folder, device and inode only
  struct stat st {};            // of the source, when the slot was made

  // What a successor process will know of it; of the root nothing. The lookups in it are guarded
  // by the slot table's mutex.
  handover::OwnedRecord record;
  // Guarded by the slot table's mutex.
  bool recovered = false;
  uint64_t given = 0;  // how often it was given to the kernel, a count of this process

  // Whether the name led to another version when last looked at.
  std::atomic<bool> superseded = false;
  std::atomic<uint64_t> last_used = 0;  // a count of uses, for least-recently-used

  // Folders have nothing of what follows; of other files than archives only what is said of files.

  // Held while the archive is opened and its index is read; to be taken before `mutex`.
  util::LongMutex opening;
  std::atomic<bool> has_huge_index = false;  // as far as is known

  // Guards what follows. Held for moments only, so that whoever has no business with the source
  // does not wait for it.
  util::LongMutex mutex;
  std::shared_ptr<const archive::ArchiveFile> file;
  std::shared_ptr<const archive::ArchiveIndex> index;
  std::optional<util::Error> failure;  // why the archive can never be opened
  std::optional<util::Error> trouble;  // why it could not be opened the last time
  std::shared_ptr<const by_name::NameTree> names;
  std::optional<util::Error> names_failure;  // why there are none
  // Why members failed, by node index, and whether their CRC-32 was found wrong; bounded.
  struct Failure {
    std::string reason;
    bool is_wrong = false;
  };
  std::map<uint32_t, Failure> bad_members;
  void RefuseWrong(uint32_t member) const {
    const auto bad = bad_members.find(member);
    if (bad != bad_members.end() && bad->second.is_wrong) {
      throw util::Error(EIO, bad->second.reason);
    }
  }
  // Those that are being read, by node index; bounded. Made at the first read, gone with the slot,
  // or when memory is short and nobody reads them just now.
  std::map<uint32_t, std::shared_ptr<archive::MemberReader>> members;
  // What is open is kept beyond the end of this process, if that is possible: what the kernel has
  // looked up may be read then.
  std::shared_ptr<const KeptDescriptor> kept;
  // Since a byte of it was first read, the file stays open to the end of the slot, whatever its
  // name leads to: what the kernel still has open or mapped of it is not told.
  bool was_read = false;
  // Leaves nothing open. What is returned is to be destroyed after the lock.
  using Closed =
      std::pair<std::shared_ptr<const archive::ArchiveFile>, std::shared_ptr<const KeptDescriptor>>;
  [[nodiscard]] Closed Close() {
    was_read = false;
    return {std::move(file), std::move(kept)};
  }

  // Members that are ZIPs themselves, by their numbers in the names; bounded.
  struct Inner {
    std::shared_ptr<const archive::InnerArchive> archive;
    std::optional<util::Error> failure;  // why there is none
  };
  std::map<uint32_t, Inner> inner;
  // Held while the names are read, and while one of these is; to be taken before the other one.
  util::LongMutex names_mutex;
  util::LongMutex inner_mutex;
};

}  // namespace skopsfs::catalog
