#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "archive/decoder_pool.h"
#include "archive/member_reader.h"
#include "by_name/name_tree.h"
#include "catalog/catalog.h"
#include "fs/folder_listings.h"
#include "fs/status.h"
#include "handover/node_id.h"
#include "util/error.h"
#include "util/log.h"
#include "util/mutex.h"

namespace skopsfs::fs {

// How long the kernel may go without asking again, in seconds.
using Timeout = double;
inline constexpr Timeout kForever = 1e9;

// A node and what the kernel may remember of it.
struct Entry {
  NodeId node;
  struct stat attributes {};
  Timeout entry_timeout = 0;      // that the name leads to the node
  Timeout attribute_timeout = 0;  // that the attributes are these
};

struct Attributes {
  struct stat attributes {};
  Timeout timeout = 0;
};

// A member or plain file that is read. It holds its version for as long as it lives.
struct Member {
  NodeId node;
  std::shared_ptr<catalog::Slot> slot;
  std::shared_ptr<archive::MemberReader> reader;
};

struct DirectoryEntry {
  std::string_view name;
  Entry entry;
  bool is_known = true;  // else it could not be looked at: there is no node, and only an st_ino
  uint64_t next = 0;     // the position of the entry after it
};

// Takes an entry. Returns false when there is no room for it. Must not throw.
using DirectorySink = std::function<bool(const DirectoryEntry&)>;

// A node that the kernel may know, and the name that leads to it.
struct NamedNode {
  NodeId node;
  NodeId parent;
  std::string name;
};

// The filesystem without FUSE: it answers each call, on node ids. It owns the catalogue, the pool
// of decoders and the texts of the hidden directory. Thread-safe. Failure is a util::Error with the
// errno to answer. Its reason has been logged if it concerns an archive or a folder. A call that
// would be too much of an effort for the calling thread throws util::TooMuchEffort, and has done
// nothing.
class FileSystem {
 public:
  struct Options {
    Timeout revalidate = 1;  // seconds after which a name is looked at again
    catalog::OpenArchives::Budget budget{};
    size_t decoder_bytes = archive::DecoderPool::kDefaultBytes;
    bool proves_first = false;  // each member is read through before its first byte is given
    bool by_name = true;        // archives with a schema show their members by name, too
    handover::Counters* counters = nullptr;  // to count in; nullptr: its own
    MountFacts facts{};                      // for status.json
  };

  // For the last two arguments see Catalog.
  FileSystem(source::Source source, const Options& options,
             std::unique_ptr<handover::SlotStore> store = std::make_unique<handover::SlotStore>(),
             catalog::DescriptorStore* descriptors = nullptr);

  // Looks a name up, with one lookup more on the node. Nothing where there is no such name; the
  // kernel may remember that for NegativeTimeout().
  std::optional<Entry> Lookup(NodeId parent, const std::string& name);
  Timeout NegativeTimeout(NodeId parent);
  void Forget(NodeId node, uint64_t count) noexcept;

  Attributes GetAttributes(NodeId node);
  std::string ReadLink(NodeId node);
  struct statvfs StatFs();

  // What a member is read with. Throws what open(2) would fail with. Whatever has become of the
  // name, the member is of the version that the kernel knows the node of.
  Member MemberOf(NodeId node);
  // Returns the number of bytes: fewer than asked for only at the end of the member.
  size_t Read(const Member& member, uint64_t offset, std::span<std::byte> out);

  // Whether the listing of a directory never changes. Throws why it cannot be listed.
  bool OpenDirectory(NodeId node);
  // Gives `sink` the entries from `position` on until it is full. With `lookup`, each entry that it
  // took has one lookup more, but for "." and "..".
  void ReadDirectory(NodeId node, uint64_t position, bool lookup, const DirectorySink& sink);

  // The extended attributes user.skopsfs.*; nothing when the node has no such attribute.
  std::optional<std::string> GetXattr(NodeId node, std::string_view name);
  std::vector<std::string> ListXattr(NodeId node);

  // The names of nodes of an archive version that the kernel may know: of `most` of them, from
  // number `first` on, see KnownNodes. Nodes without a name are left out. Throws util::Error when
  // the version cannot be read.
  std::vector<NamedNode> NamesOf(const std::shared_ptr<catalog::Slot>& slot, uint64_t first,
                                 uint64_t most);

  // The members whose CRC-32 was found wrong since the last call, bounded. What the kernel has of
  // them in its page cache is to go, so that nobody reads it any more.
  std::vector<NodeId> TakeWrong() {
    const util::MutexLock lock(wrong_mutex_);
    return std::exchange(wrong_, {});
  }

  // What a file of the hidden directory says, see StatusTexts.
  std::shared_ptr<const StatusText> StatusTextOf(NodeId node);
  // Brings the counters of archives and memory up to date, and tells of `most` archives. Metrics
  // that are read in the mount are brought up to date without it.
  catalog::ArchiveSummary CountArchives(size_t most);

  // Housekeeping, about once a second: lets go of what is idle.
  void Tidy() {
    catalog_.Tidy();
    listings_.Tidy();
    const util::MutexLock lock(listings_mutex_);
    for (auto& [directory, age] : unfinished_listings_) ++age;
    std::erase_if(unfinished_listings_, [](const auto& item) { return item.second > 2; });
  }

  catalog::Catalog& catalog() { return catalog_; }
  handover::Counters& counters() { return counters_; }

 private:
  // A node of an archive version, which is open for as long as this lives; or a folder, without
  // any of the rest.
  struct Located {
    NodeId node;
    std::shared_ptr<catalog::Slot> slot;
    catalog::OpenArchive open = {};
    catalog::Slot::Names names = nullptr;  // of by-name and what is in it
    catalog::Slot::Npz inner = nullptr;    // of an npz there
    uint32_t npz = 0;                      // its number
    uint32_t index = 0;                    // in archive()

    const archive::ArchiveIndex& archive() const { return inner ? inner->index() : *open.index; }
    uint32_t first() const { return inner ? NodeId::FirstOf(npz) : 0; }
    archive::Node member() const { return archive().node(index); }
    by_name::NameTree::Node name() const { return names->At(node.name()); }
    // Whether its children are names, not members.
    bool holds_names() const { return node.is_name() && !inner; }
    // The index of the directory that it lies in, as in a NodeId; 0: the archive itself.
    uint32_t Parent() const;
    std::string Path() const;                   // in the archive version
    std::string TargetOf(uint32_t name) const;  // of a link there
  };
  static constexpr std::string_view kByName = "by-name";

  std::shared_ptr<catalog::Slot> SlotOf(NodeId node);
  using OpenCall =
      catalog::OpenArchive (catalog::Catalog::*)(const std::shared_ptr<catalog::Slot>&);
  Located Locate(NodeId node);
  Located LocateIn(const std::shared_ptr<catalog::Slot>& slot, OpenCall open, NodeId node);
  Located LocateDirectory(const std::shared_ptr<catalog::Slot>& slot, OpenCall open, NodeId node);
  void OpenNpz(Located& located, uint32_t npz);
  archive::Extent ExtentOf(const Located& located);
  Member PlainFileOf(const std::shared_ptr<catalog::Slot>& slot, NodeId node);
  static void NoteCrc32(const Member& member);
  bool IsSingleRoot(const NodeId& node) const {
    return node == kRoot && catalog_.source().is_single_archive();
  }
  Entry SourceEntry(const catalog::Catalog::Child& child) const;
  static struct stat AttributesIn(const Located& located, uint32_t index);
  Entry EntryIn(const Located& directory, uint32_t index) const;
  std::optional<Entry> ChildOf(const Located& directory, const std::string& name) const;
  NamedNode Named(const Located& located) const;
  Located FindDirectory(NodeId node, uint64_t version);
  void RememberListing(const Located& directory);
  // The entry `name` of an open folder now; nothing when it is gone.
  std::optional<Entry> EntryOf(const std::shared_ptr<catalog::Slot>& folder,
                               const source::Found& open, const std::string& name, bool lookup);
  void ReadFolder(const Located& directory, uint64_t position, bool lookup,
                  const DirectorySink& sink);
  uint64_t CountOfChildren(const Located& directory) const;
  std::optional<DirectoryEntry> ChildAt(const Located& directory, uint64_t number) const;
  void ReadArchive(const Located& directory, uint64_t position, bool lookup,
                   const DirectorySink& sink);
  static struct stat AttributesOfParent(const Located& directory);
  static bool ReadDots(const Located& directory, uint64_t position, const DirectorySink& sink);

  bool HasNames(const archive::ArchiveIndex& archive) const;
  catalog::Slot::Names NamesOf(catalog::Slot& slot, const catalog::OpenArchive& open);
  catalog::Slot::Names ReadNames(catalog::Slot& slot, const catalog::OpenArchive& open);

  // Runs `call` for `node`, again when the version was just replaced and the node is the root of a
  // single archive: that leads to the present version, but the kernel never looks a root up again.
  template <typename Call>
  auto RetryIfReplaced(NodeId node, const Call& call) const {
    constexpr int kAttempts = 10;
    for (int attempt = 1;; ++attempt) {
      try {
        return call();
      } catch (const util::Error& error) {
        if (error.code() != ESTALE || !IsSingleRoot(node) || attempt == kAttempts) throw;
      }
    }
  }
  // Runs `call`, which reads a folder of the source. What it throws is logged.
  template <typename Call>
  auto ReadingFolder(const catalog::Slot& folder, const Call& call) const {
    try {
      return call();
    } catch (const util::Error& error) {
      // Where it has moved, the kernel looks its name up again.
      if (error.code() != ESTALE) {
        util::LogError("{}: cannot be looked into: {}", util::Quoted(catalog_.LabelOf(folder)),
                       error.what());
      }
      throw;
    }
  }
  template <typename Call>
  auto Reading(catalog::Slot& slot, NodeId node,
               const std::shared_ptr<archive::MemberReader>& reader, const Call& call);
  std::string PathOf(NodeId node);
  void MemberFailed(catalog::Slot& slot, NodeId node, const util::Error& error, bool is_wrong);
  std::string ReasonOfFailure(NodeId node);
  bool IsLink(NodeId node);

  std::optional<Entry> LookupInSource(NodeId parent, const std::string& name);
  std::optional<Entry> LookupInFolder(const std::shared_ptr<catalog::Slot>& folder,
                                      const std::string& name);
  bool SourceHasStatusFolder();
  std::optional<Entry> LookupStatus(const std::string& name);
  std::string MakeStatusText(StatusFile::Kind kind);
  static void ReadStatusFolder(uint64_t position, const DirectorySink& sink);

  const Options options_;
  const std::unique_ptr<handover::Counters> own_counters_;
  handover::Counters& counters_;
  archive::DecoderPool decoders_;  // outlives the slots of the catalogue, whose readers use it
  catalog::Catalog catalog_;
  FolderListings listings_;
  // The versions of a single archive whose root was listed in part, and how many calls of Tidy()
  // ago; the latest first. The kernel may have forgotten a version that is still listed. Bounded.
  util::Mutex listings_mutex_;  // slots may end while it is held
  std::deque<std::pair<Located, int>> unfinished_listings_ GUARDED_BY(listings_mutex_);
  StatusTexts status_texts_;
  util::Mutex wrong_mutex_;  // no other one is taken while it is held
  std::vector<NodeId> wrong_ GUARDED_BY(wrong_mutex_);
  util::LongMutex large_schema_;  // held while one is read; after that of the slot's names
};

}  // namespace skopsfs::fs
