#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "archive/decoder_pool.h"
#include "archive/member_reader.h"
#include "by_name/name_tree.h"
#include "catalog/catalog.h"
#include "fs/node_id.h"
#include "fs/status.h"
#include "util/error.h"
#include "util/long_mutex.h"

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

// An open member. Reading it concerns neither names nor locks.
struct FileHandle {
  std::shared_ptr<catalog::Slot> slot;
  uint32_t index;      // of the node
  uint32_t parent;     // of the directory that holds it
  std::string member;  // path inside the archive
  struct stat attributes;
  std::shared_ptr<const archive::ArchiveFile> file;
  archive::MemberReader reader;
  std::shared_ptr<const catalog::KeptDescriptor> kept;
};

// A name in a folder that is being listed.
struct NameAt {
  uint64_t position;
  std::string name;
};

// An open directory: of an archive version, or a folder with what it had when it was opened.
struct DirectoryHandle {
  NodeId node;
  std::shared_ptr<catalog::Slot> slot;
  // Of a folder nothing; of what is in an npz, that.
  std::shared_ptr<const archive::ArchiveIndex> archive;
  uint32_t first = 0;      // the index of its node 0 among all nodes of the version
  uint32_t directory = 0;  // the node in it that this is
  std::shared_ptr<const catalog::KeptDescriptor> kept;  // of an archive
  std::shared_ptr<const by_name::NameTree> names;       // of by-name and what is in it
  std::vector<NameAt> children;                         // of a folder, in order
};

struct DirectoryEntry {
  std::string_view name;
  Entry entry;
  bool is_known = true;  // else it could not be looked at: there is no node, and only an st_ino
  uint64_t next = 0;     // the position of the entry after it
};

// Takes an entry; returns false when there is no room for it. Must not throw.
using DirectorySink = std::function<bool(const DirectoryEntry&)>;

// A node of an old version that the kernel should drop, with its pages: by the name that leads to
// it, where that is known.
struct StaleName {
  NodeId node;
  NodeId parent{};
  std::string name{};
};

// The filesystem without FUSE: what each call answers, on node ids. All members are thread-safe.
// Failure is an util::Error with the errno to answer; the reason has then been logged if it
// concerns an archive or a folder. What would be too much of an effort for the calling thread is
// util::TooMuchEffort: then the call has done nothing.
class FileSystem {
 public:
  struct Options {
    Timeout revalidate = 1;  // seconds after which a name is looked at again
    catalog::OpenArchives::Budget budget{};
    size_t decoder_bytes = archive::DecoderPool::kDefaultBytes;
    bool verify_on_open = false;  // members are read through before they are opened
    bool by_name = true;          // archives with a schema show their members by name, too
    metrics::Counters* counters = nullptr;  // to count in; none: one's own
    MountFacts facts{};                     // for status.json
  };

  // For the last two see Catalog.
  FileSystem(catalog::Source source, const Options& options,
             std::unique_ptr<catalog::SlotStore> store = std::make_unique<catalog::SlotStore>(),
             catalog::DescriptorKeeper* keeper = nullptr);

  // With one lookup more on the node. Nothing where there is no such name, for `NegativeTimeout`.
  std::optional<Entry> Lookup(NodeId parent, const std::string& name);
  Timeout NegativeTimeout(NodeId parent);
  void Forget(NodeId node, uint64_t count) noexcept;

  Attributes GetAttributes(NodeId node);
  std::string ReadLink(NodeId node);
  struct statvfs StatFs();

  std::unique_ptr<FileHandle> Open(NodeId node);
  // The same for a member that the kernel has had open since before this process.
  std::unique_ptr<FileHandle> OpenInherited(NodeId node);
  // Fewer bytes than asked for only at the end of the member.
  size_t Read(FileHandle& handle, uint64_t offset, std::span<std::byte> out);
  // What the kernel should be told to drop after that node was closed, if it is of an old version.
  // `handle` is what it was open as, if that is known. Opens nothing.
  StaleName NameOfClosed(NodeId node, const FileHandle* handle) const;

  std::unique_ptr<DirectoryHandle> OpenDirectory(NodeId node);
  std::unique_ptr<DirectoryHandle> OpenInheritedDirectory(NodeId node);
  // Gives `sink` the entries from `position` on until it is full. With `lookup`, each entry other
  // than "." and ".." that was taken has one lookup more. One caller at a time for each handle.
  void ReadDirectory(DirectoryHandle& handle, uint64_t position, bool lookup,
                     const DirectorySink& sink);

  // user.skopsfs.*; nothing when the node has no such attribute.
  std::optional<std::string> GetXattr(NodeId node, std::string_view name);
  std::vector<std::string> ListXattr(NodeId node);

  // Names that the kernel should drop so that old versions can go which a predecessor had open: it
  // is not known what the kernel still has in its cache of them, nor what is still open. `most`
  // bounds how many of each.
  // `at` is told of each slot before it is looked at.
  std::vector<StaleName> StaleNamesOfInherited(size_t most,
                                               const std::function<void(uint64_t)>& at = {});

  // What a file of the hidden directory says now, see status.h. Throws util::Error when there is no
  // such file, and for `health` when the source cannot be read.
  std::string StatusText(NodeId node);
  // Counts again what the metrics say of archives and memory; by itself that is done when somebody
  // asks.
  void UpdateGauges() { CountArchives(0); }

  // Housekeeping, about once a second: closes what is idle.
  void Tidy() { catalog_.Tidy(); }

  catalog::Catalog& catalog() { return catalog_; }
  metrics::Counters& counters() { return counters_; }

 private:
  // A member or directory of an archive version, which is open for as long as this lives.
  struct Located {
    std::shared_ptr<catalog::Slot> slot;
    catalog::OpenArchive open;
    std::shared_ptr<const by_name::NameTree> names;  // what follows is of an npz in it
    std::shared_ptr<const archive::InnerArchive> inner;
    uint32_t npz = 0;
    uint32_t index = 0;  // in archive()

    const archive::ArchiveIndex& archive() const { return inner ? inner->index() : *open.index; }
    uint32_t first() const { return inner ? NodeId::FirstOf(npz) : 0; }
    archive::Node node() const { return archive().node(index); }
    std::string Path() const;  // in the archive version
  };
  // A node of the names of one.
  struct LocatedNames {
    std::shared_ptr<catalog::Slot> slot;
    catalog::OpenArchive open;
    std::shared_ptr<const by_name::NameTree> names;
  };
  static constexpr std::string_view kByName = "by-name";

  std::shared_ptr<catalog::Slot> SlotOf(NodeId node);
  Located Locate(NodeId node);
  Located LocateIn(std::shared_ptr<catalog::Slot> slot, catalog::OpenArchive open, NodeId node);
  archive::Extent ExtentOf(const Located& located);
  std::unique_ptr<FileHandle> MakeHandle(const Located& located, NodeId node);
  bool HasToVerify(const Located& located, NodeId node) const;
  std::unique_ptr<FileHandle> Open(const Located& located, NodeId node, bool verify);
  bool IsSingleRoot(const NodeId& node) const;
  std::optional<Entry> LookupInFolder(const std::shared_ptr<catalog::Slot>& folder,
                                      const std::string& name);
  Entry SourceEntry(const catalog::Slot& slot, const struct stat& st) const;
  Entry MemberEntry(const catalog::Slot& slot, const archive::ArchiveIndex& archive, uint32_t first,
                    uint32_t child, NodeId parent) const;
  using OpenCall =
      catalog::OpenArchive (catalog::Catalog::*)(const std::shared_ptr<catalog::Slot>&);
  std::unique_ptr<DirectoryHandle> MakeHandle(NodeId node, std::shared_ptr<catalog::Slot> slot,
                                              OpenCall open);
  // The entry `name` of an open folder by now; nothing when it is gone.
  std::optional<Entry> EntryOf(const std::shared_ptr<catalog::Slot>& folder,
                               const catalog::Found& open, const std::string& name, bool lookup);
  void Fill(DirectoryHandle& handle, const Located& located);
  void ReadEntries(DirectoryHandle& handle, uint64_t position, bool lookup,
                   const DirectorySink& sink);
  void ReadFolder(DirectoryHandle& handle, uint64_t position, bool lookup,
                  const DirectorySink& sink);
  std::optional<DirectoryEntry> ChildAt(const DirectoryHandle& handle, uint64_t number);
  void ReadArchive(DirectoryHandle& handle, uint64_t position, bool lookup,
                   const DirectorySink& sink);

  bool HasNames(const archive::ArchiveIndex& archive) const;
  std::shared_ptr<const by_name::NameTree> NamesOf(catalog::Slot& slot,
                                                   const catalog::OpenArchive& open);
  std::shared_ptr<const by_name::NameTree> ReadNames(catalog::Slot& slot,
                                                     const catalog::OpenArchive& open);
  LocatedNames LocateNames(NodeId node, OpenCall open_call);
  std::shared_ptr<const archive::InnerArchive> InnerOf(catalog::Slot& slot,
                                                       const catalog::OpenArchive& open,
                                                       const by_name::NameTree& names,
                                                       uint32_t npz);
  Located LocateNpz(const LocatedNames& located, uint32_t name);
  std::optional<Entry> LookupName(NodeId parent, const std::string& name);
  std::optional<Entry> LookupInNpz(const LocatedNames& located, NodeId parent,
                                   const std::string& name);
  static struct stat NameAttributes(const catalog::Slot& slot, const archive::ArchiveIndex& archive,
                                    const by_name::NameTree& names, uint32_t name);
  Entry ByNameEntry(const catalog::Slot& slot, NodeId parent) const;
  static Entry NameEntry(const catalog::Slot& slot, const archive::ArchiveIndex& archive,
                         const by_name::NameTree& names, uint32_t name);

  // Runs `call` for `node`. The root of a single archive leads to the present version of that, but
  // is itself never looked up anew by the kernel: so it is here, when that version has just been
  // replaced.
  template <typename Call>
  auto Anew(NodeId node, const Call& call) const {
    constexpr int kAttempts = 10;
    for (int attempt = 1;; ++attempt) {
      try {
        return call();
      } catch (const util::Error& error) {
        if (error.code() != ESTALE || !IsSingleRoot(node) || attempt == kAttempts) throw;
      }
    }
  }
  // Runs `call`, which reads a folder of the source; what it throws is logged.
  template <typename Call>
  auto ReadingFolder(const catalog::Slot& folder, const Call& call) const {
    try {
      return call();
    } catch (const util::Error& error) {
      FolderFailed(folder, error);
      throw;
    }
  }
  void FolderFailed(const catalog::Slot& folder, const util::Error& error) const;
  template <typename Call>
  auto Reading(FileHandle& handle, const Call& call);
  void MemberFailed(catalog::Slot& slot, uint32_t index, const std::string& member,
                    const util::Error& error, bool is_wrong = false);
  std::string ReasonOfFailure(NodeId node);
  bool IsLink(NodeId node);

  std::optional<Entry> LookupInSource(NodeId parent, const std::string& name);
  bool SourceHasStatusFolder();
  Entry StatusEntry(NodeId node);
  void ReadStatusFolder(uint64_t position, const DirectorySink& sink);
  catalog::Census CountArchives(size_t most);

  const Options options_;
  const std::unique_ptr<metrics::Counters> own_counters_;
  metrics::Counters& counters_;
  catalog::Catalog catalog_;
  archive::DecoderPool decoders_;
  util::LongMutex large_schema_;  // held while one is read
};

}  // namespace skopsfs::fs
