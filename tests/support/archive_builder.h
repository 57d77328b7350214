#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zip/format.h"

// Builds ZIP archives for tests: valid ones by default, and any damage by setting single fields.
// Bytes are std::string throughout.
namespace skopsfs::testing {

// What a local header or a central directory record says instead of the truth.
struct HeaderFields {
  std::optional<uint32_t> signature = {};
  std::optional<uint16_t> version_made_by = {};  // central only
  std::optional<uint16_t> version_needed = {};
  std::optional<uint16_t> flags = {};
  std::optional<uint16_t> method = {};
  std::optional<uint16_t> time = {};
  std::optional<uint16_t> date = {};
  std::optional<uint32_t> crc32 = {};
  std::optional<uint32_t> compressed_size = {};
  std::optional<uint32_t> size = {};
  std::optional<uint16_t> name_size = {};  // lengths as claimed; what is written is set below
  std::optional<uint16_t> extra_size = {};
  std::optional<uint16_t> comment_size = {};         // central only
  std::optional<uint16_t> disk = {};                 // central only
  std::optional<uint16_t> internal_attributes = {};  // central only
  std::optional<uint32_t> external_attributes = {};  // central only
  std::optional<uint32_t> header_offset = {};        // central only
  std::optional<std::string> name = {};
  std::optional<std::string> zip64_extra = {};  // instead of the field that would be written
  std::string extra = {};                       // extra fields after that one
  std::string comment = {};                     // central only
};

struct Member {
  std::string name = {};
  std::string data = {};  // what it decodes to
  uint16_t method = zip::kMethodStored;
  // The bytes in the archive; made from `data` when not set, which works for stored and deflated.
  std::optional<std::string> compressed = {};
  // Instead of `data`: that many zeros, which take no room in a sparse file. Stored only.
  uint64_t hole = 0;
  uint16_t flags = 0;  // in both headers; kFlagUtf8 is not set by itself
  // A data descriptor after the data; the local header then has no sizes and no CRC.
  bool descriptor = false;
  // Sizes and offset in ZIP64 extra fields, also when they would fit in 32 bits.
  bool zip64 = false;
  std::string after_data = {};  // between the data (and descriptor) and whatever follows
  // Offset of the local header, counted as offsets in the archive are (prepended data left out).
  // Later pieces overwrite earlier ones where they overlap.
  std::optional<uint64_t> at = {};
  bool has_local_header = true;  // when not, its data is not written either
  bool in_directory = true;
  HeaderFields local = {};
  HeaderFields central = {};
};

// What the end record says instead of the truth.
struct EndFields {
  std::optional<uint32_t> signature = {};
  std::optional<uint16_t> disk = {};
  std::optional<uint16_t> directory_disk = {};
  std::optional<uint16_t> entries_here = {};
  std::optional<uint16_t> entries = {};
  std::optional<uint32_t> directory_size = {};
  std::optional<uint32_t> directory_offset = {};
  std::optional<uint16_t> comment_size = {};
};

// What the ZIP64 end record and its locator say instead of the truth.
struct Zip64EndFields {
  std::optional<uint32_t> signature = {};
  std::optional<uint64_t> record_size = {};
  std::optional<uint16_t> version_made_by = {};
  std::optional<uint16_t> version_needed = {};
  std::optional<uint32_t> disk = {};
  std::optional<uint32_t> directory_disk = {};
  std::optional<uint64_t> entries_here = {};
  std::optional<uint64_t> entries = {};
  std::optional<uint64_t> directory_size = {};
  std::optional<uint64_t> directory_offset = {};
  std::string extensible_data = {};  // after the record
  std::optional<uint32_t> locator_signature = {};
  std::optional<uint32_t> locator_disk = {};
  std::optional<uint64_t> locator_offset = {};
  std::optional<uint32_t> locator_disks = {};
  bool has_record = true;
  bool has_locator = true;
};

// Where things came to lie in the file, prepended data counted.
struct Layout {
  struct Item {
    uint64_t header = 0;
    uint64_t data = 0;
    uint64_t end = 0;  // of the data
  };
  std::vector<Item> members;  // in the order of Add()
  uint64_t directory = 0;
  uint64_t directory_end = 0;
  uint64_t zip64_end_record = 0;
  uint64_t end_record = 0;
  uint64_t size = 0;
};

// Bytes with holes between them.
class SparseImage {
 public:
  void Append(std::string_view bytes);
  void Seek(uint64_t offset);
  uint64_t position() const { return position_; }
  uint64_t size() const { return size_; }

  std::string Flatten() const;
  // Creates or truncates the file. Throws std::system_error.
  void WriteTo(const std::string& path) const;

 private:
  std::vector<std::pair<uint64_t, std::string>> pieces_;
  uint64_t position_ = 0;
  uint64_t size_ = 0;
};

class ArchiveBuilder {
 public:
  ArchiveBuilder& Add(Member member);
  // Before the archive; the offsets inside it do not count this.
  ArchiveBuilder& Prepend(std::string bytes);
  ArchiveBuilder& BeforeDirectory(std::string bytes);
  ArchiveBuilder& AfterDirectory(std::string bytes);  // not counted as part of it
  ArchiveBuilder& Comment(std::string comment);
  ArchiveBuilder& Trailing(std::string junk);  // after the comment, and not counted in it
  ArchiveBuilder& End(EndFields fields);
  // Writes ZIP64 end records also where none are needed.
  ArchiveBuilder& Zip64End(Zip64EndFields fields = {});

  std::string Build();
  // The same as a file, with its holes; quick at any size.
  void WriteTo(const std::string& path);

  // Of the last Build() or WriteTo().
  const Layout& layout() const { return layout_; }

 private:
  SparseImage Assemble();
  Layout::Item PutMember(SparseImage& image, const Member& member) const;
  std::string CentralRecord(const Member& member, uint64_t header_offset) const;
  void PutEndRecords(SparseImage& image, uint64_t entries);
  std::string Zip64EndRecords(uint64_t start, uint64_t entries) const;

  std::vector<Member> members_;
  std::string prepended_;
  std::string before_directory_;
  std::string after_directory_;
  std::string comment_;
  std::string trailing_;
  EndFields end_;
  std::optional<Zip64EndFields> zip64_end_;
  Layout layout_;
};

// `value` as its bytes.
template <typename T>
std::string LittleEndian(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i) {
    bytes += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
  }
  return bytes;
}

std::string ExtraField(uint16_t id, std::string_view data);
std::string Zip64Extra(const std::vector<uint64_t>& values);
std::string TimestampExtra(int32_t seconds);

std::string Deflate(std::string_view data, int level = 6);
uint32_t Crc32(std::string_view data);
uint32_t Crc32OfZeros(uint64_t count);

}  // namespace skopsfs::testing
