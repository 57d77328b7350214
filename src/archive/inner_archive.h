#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "archive/archive_index.h"
#include "archive/member_reader.h"
#include "util/error.h"

namespace skopsfs::archive {

// A ZIP that is a member of an archive, as the npz of a sparse matrix is: what it holds, and where.
// Immutable, so free to share between threads.
class InnerArchive {
 public:
  // So many nodes at most, the root among them: what scipy and NumPy write has six members.
  static constexpr uint32_t kMostNodes = 256;

  // Reads the central directory of the member `outer` and the headers of its members, through a
  // MemberReader, which sees to the version. Takes as long as decoding `outer`. Throws util::Error
  // where it cannot be opened, EFBIG where it has more members.
  InnerArchive(const std::shared_ptr<const ArchiveFile>& file, const Extent& outer,
               DecoderPool& pool, const std::string& label);

  const ArchiveIndex& index() const { return index_; }
  size_t memory_bytes() const {
    return sizeof(*this) + index_.memory_bytes() + members_.capacity() * sizeof(Member);
  }

  // LocateMember() for a member of it, and its errors. What is stored in a stored one is found in
  // the file itself.
  const Extent& Locate(uint32_t node) const;

 private:
  using Member = std::variant<Extent, util::Error>;

  InnerArchive(const zip::ByteSource& bytes, const Extent& outer, const std::string& label);

  const ArchiveIndex index_;
  std::vector<Member> members_;  // by node; of directories nothing
};

}  // namespace skopsfs::archive
