#pragma once

#include <ctime>
#include <string>

#include "archive/member_tree.h"
#include "zip/central_directory.h"

namespace skopsfs::archive {

// What one archive version holds: its central directory and the tree made of it. Immutable, so
// free to share between threads. Neither copied nor moved: the tree refers to the directory.
class ArchiveIndex {
 public:
  // Reads the central directory and nothing else. Entries that cannot be shown are logged under
  // `label`, the archive's name. Throws util::Error where the archive cannot be opened.
  ArchiveIndex(const zip::ByteSource& source, const std::string& label,
               const zip::Limits& limits = {})
      : ArchiveIndex(source, zip::FindCentralDirectory(source), label, limits) {}
  ArchiveIndex(const zip::ByteSource& source, const zip::DirectoryLocation& location,
               const std::string& label, const zip::Limits& limits = {});
  ArchiveIndex(const ArchiveIndex&) = delete;
  ArchiveIndex& operator=(const ArchiveIndex&) = delete;

  const zip::CentralDirectory& directory() const { return directory_; }
  const MemberTree& tree() const { return tree_; }
  Node node(uint32_t index) const { return tree_.At(index); }
  uint32_t node_count() const { return static_cast<uint32_t>(tree_.size()); }

  // The entry of a member or an explicit directory; nullptr for implied directories.
  const zip::Entry* EntryOf(uint32_t index) const;

  // Path inside the archive; empty for the root.
  std::string PathOf(uint32_t index) const;

  // The members, in the order in which their bytes lie in the file: as decoders and disks like it.
  std::vector<uint32_t> MembersInFileOrder() const;

  size_t memory_bytes() const;

  // Tells this central directory from others; never 0.
  uint64_t Fingerprint() const;

 private:
  zip::CentralDirectory directory_;
  MemberTree tree_;
};

// Seconds since 1970, as unzip sets them: the extended timestamp, else the DOS time taken as local
// time.
time_t ModificationTime(const zip::Entry& entry);

}  // namespace skopsfs::archive
