#pragma once

#include <memory>
#include <string>

#include "archive/archive_index.h"
#include "archive/member_bytes.h"

namespace skopsfs::archive {

// A ZIP that is a member of an archive, as the npz of a sparse matrix is: what it holds, and where.
// Immutable, so free to share between threads.
class InnerArchive {
 public:
  // So many nodes at most, the root among them: what scipy and NumPy write has six members.
  static constexpr uint32_t kMostNodes = 256;

  // Reads the central directory of the member `outer`. Throws util::Error where it cannot be
  // opened, EFBIG where it has more members.
  InnerArchive(const std::shared_ptr<const ArchiveFile>& file, const Extent& outer,
               DecoderPool& pool, const std::string& label);

  const ArchiveIndex& index() const { return index_; }
  size_t memory_bytes() const { return sizeof(*this) + index_.memory_bytes(); }

  // LocateMember() for a member of it. What is stored in a stored one is found in the file itself.
  Extent Locate(const std::shared_ptr<const ArchiveFile>& file, DecoderPool& pool,
                const zip::Entry& entry) const;

 private:
  const std::shared_ptr<const Extent> outer_;
  const ArchiveIndex index_;
};

}  // namespace skopsfs::archive
