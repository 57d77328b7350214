#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "archive/archive_file.h"
#include "archive/archive_index.h"
#include "archive/inner_archive.h"
#include "archive/member_reader.h"
#include "by_name/name_tree.h"
#include "catalog/descriptor_store.h"
#include "handover/identity.h"
#include "handover/node_id.h"
#include "handover/slot_store.h"
#include "util/error.h"
#include "util/mutex.h"

namespace skopsfs::catalog {

// What is open of a version. It stays open for as long as this lives.
struct OpenArchive {
  std::shared_ptr<const archive::ArchiveFile> file;
  std::shared_ptr<const archive::ArchiveIndex> index;  // a plain file has none
};

// What a slot remembers of a file's state: all of an archive's, a folder's device and inode.
handover::Identity SlotIdentity(const struct stat& st);

// A folder of the source, or one version of an archive or other file, as the kernel knows it.
// A node id is made of the slot's id and an index inside the slot. Ids are never used again.
// It owns what is open of the version and what was found out about it. It keeps its parent alive,
// so that its path can always be told. Thread-safe.
class Slot {
 public:
  using File = std::shared_ptr<const archive::ArchiveFile>;
  using Index = std::shared_ptr<const archive::ArchiveIndex>;
  using Names = std::shared_ptr<const by_name::NameTree>;
  using Npz = std::shared_ptr<const archive::InnerArchive>;
  using Reader = std::shared_ptr<archive::MemberReader>;

  // The root, which is the slot 0 and has no record.
  Slot(const struct stat& root, bool root_is_folder);
  Slot(handover::OwnedRecord known, std::shared_ptr<const Slot> folder);

  // What a successor process will know of the slot. The slot table's mutex guards its lookups.
  const handover::OwnedRecord record;
  const uint64_t id = 0;
  const bool is_folder;
  const std::shared_ptr<const Slot> parent;  // nullptr in the root
  const std::string name;
  const std::string path;            // relative to the source, as it was when the slot was made
  const bool is_plain_file = false;  // one that lies beside the archives
  const struct stat st;              // of the source, when the slot was made
  const handover::Identity identity;

  // Whether the name led to another version when last looked at; set by the slot table.
  std::atomic<bool> superseded = false;
  std::atomic<uint64_t> last_used = 0;       // a count of uses, for least-recently-used
  std::atomic<bool> has_huge_index = false;  // as far as is known

  // A folder has nothing of what follows, a plain file only what is said of files.

  // --- efforts: one thread at a time makes each of them, and the others wait ---

  template <typename Call>
  auto WhileOpening(const Call& call) {
    const util::MutexLock lock(opening_mutex_);
    return call();
  }
  // The names, or an npz that they lead to.
  template <typename Call>
  auto WhileReadingNames(const Call& call) {
    const util::MutexLock lock(names_mutex_);
    return call();
  }

  // --- what is open ---

  OpenArchive open() const {
    const util::MutexLock lock(mutex_);
    return {file_, index_};
  }
  File file() const { return open().file; }
  // Throws why the version can never be opened, if that is known.
  void CheckUsable() const {
    const util::MutexLock lock(mutex_);
    if (failure_) throw util::Error(*failure_);
  }
  void SetFile(File file) {
    const util::MutexLock lock(mutex_);
    file_.swap(file);
  }
  void SetIndex(Index index) {
    const util::MutexLock lock(mutex_);
    index_.swap(index);
  }
  // Why the version could not be opened the last time; nothing when it could.
  void SetTrouble(const std::optional<util::Error>& trouble) {
    const util::MutexLock lock(mutex_);
    trouble_ = trouble;
  }

  // A predecessor had the file open and had read it.
  void Inherit(File file, std::shared_ptr<const StoredDescriptor> kept) {
    const util::MutexLock lock(mutex_);
    file_ = std::move(file);
    kept_ = std::move(kept);
    was_read_ = true;
  }
  // Has `store`, if any, keep the descriptor until the file is closed. Where that fails, it is to
  // be tried again.
  void Keep(DescriptorStore* store) {
    const util::MutexLock lock(mutex_);
    KeepLocked(store);
  }

  // Closes the file if nothing was read of it. With `forever`, the version is never opened again.
  void CloseUnread(const std::optional<util::Error>& forever);
  // Closes `file`, if that is what is open; its readers go, too. `forever` is as before.
  void Close(const archive::ArchiveFile& file, const std::optional<util::Error>& forever);

  // --- members ---

  // The member is being read from now on: with `reader`, or with the reader that it already has.
  // From now on the file stays open to the end of the slot, whatever its name leads to: the kernel
  // does not tell what is still open or mapped. Returns `reader`, without remembering it, when it
  // is for another file than `from` the one that others read.
  Reader StartReading(uint32_t member, const File& from, Reader reader, DescriptorStore* store);
  // nullptr when the member is not being read. Throws util::Error(EIO) when it was found wrong.
  Reader ReaderOf(uint32_t member) const;

  // Notes why a member could not be read, and whether its CRC-32 was found wrong. Returns the nodes
  // of which the kernel is to have no pages any more; nothing when that reason is known already.
  std::optional<std::vector<handover::NodeId>> MemberFailed(uint32_t member,
                                                            std::string_view reason, bool is_wrong);
  std::optional<std::string> FailureOf(uint32_t member) const;

  // --- names ---

  // What was made of the version, or why it cannot be made.
  template <typename T>
  struct Made {
    std::shared_ptr<const T> made;
    std::optional<util::Error> failure;

    const std::shared_ptr<const T>& Get() const {
      if (failure) throw util::Error(*failure);
      return made;
    }
  };

  // nullptr when they are not in memory. Throws why there are none, if that is known.
  Names names() const {
    const util::MutexLock lock(mutex_);
    return names_.Get();
  }
  void SetNames(Made<by_name::NameTree> names) {
    const util::MutexLock lock(mutex_);
    std::swap(names_, names);
  }

  // The npz with that number in the names, which is `member`. The rest as for names().
  Npz NpzOf(uint32_t number, uint32_t member) const;
  void SetNpz(uint32_t number, Made<archive::InnerArchive> npz);

  // --- for who does not wait: these do nothing while another thread uses the slot ---

  File TryKeep(DescriptorStore* store);  // returns what is open
  // Closes a file of which nothing was read and that nobody else holds. Says whether it has.
  bool TryCloseUnread();
  // Lets go of what was made of the version and that nobody else holds.
  void TryDropIdle();
  struct State {
    bool is_open = false;
    bool is_read = false;
    bool is_in_memory = false;  // its index, or its names
    std::string reason;         // why it failed, or a member or its names; empty when nothing did
  };
  std::optional<State> TryState() const;

 private:
  friend class SlotPeer;  // of the tests

  using Kept = std::shared_ptr<const StoredDescriptor>;
  struct MemberFailure {
    std::string reason;
    bool is_wrong = false;
  };

  // Leaves nothing open. What is returned is to be destroyed without the mutex.
  [[nodiscard]] std::pair<File, Kept> TakeOpen() REQUIRES(mutex_);
  void KeepLocked(DescriptorStore* store) REQUIRES(mutex_);
  void CheckNotWrong(uint32_t member) const REQUIRES(mutex_);
  std::vector<handover::NodeId> StopReading(uint32_t npz_member) REQUIRES(mutex_);
  std::string WhyFailed() const REQUIRES(mutex_);

  // Those of efforts, which may be held for long.
  util::LongMutex opening_mutex_ ACQUIRED_BEFORE(mutex_);
  util::LongMutex names_mutex_ ACQUIRED_BEFORE(mutex_);

  // Held for moments only, so that whoever has no business with the source does not wait for it.
  // While it is held, the DescriptorStore is called, and decoders and files may end.
  mutable util::LongMutex mutex_;
  File file_ GUARDED_BY(mutex_);
  Index index_ GUARDED_BY(mutex_);
  Kept kept_ GUARDED_BY(mutex_);  // of file_, if that is possible
  bool was_read_ GUARDED_BY(mutex_) = false;
  std::optional<util::Error> failure_ GUARDED_BY(mutex_);  // why it can never be opened
  std::optional<util::Error> trouble_ GUARDED_BY(mutex_);  // why it could not, the last time
  // By node index; bounded. Readers are made at the first read. They go with the slot, or when
  // memory is short and nobody reads just now.
  std::map<uint32_t, Reader> readers_ GUARDED_BY(mutex_);
  std::map<uint32_t, MemberFailure> failed_members_ GUARDED_BY(mutex_);
  Made<by_name::NameTree> names_ GUARDED_BY(mutex_);
  // By the number in the names; bounded.
  std::map<uint32_t, Made<archive::InnerArchive>> npz_ GUARDED_BY(mutex_);
};

}  // namespace skopsfs::catalog
