#include "support/archive_builder.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <stdexcept>
#include <system_error>

#include "util/unique_fd.h"

namespace skopsfs::testing {
namespace {

constexpr uint32_t kIn64Bits = std::numeric_limits<uint32_t>::max();
constexpr uint16_t kMany = std::numeric_limits<uint16_t>::max();
constexpr uint16_t kFlagDescriptor = 1U << 3;
constexpr uint32_t kDescriptorSignature = 0x08074b50;
constexpr uint16_t kVersion = 45;
constexpr uint16_t kDefaultDate = (2020 - 1980) << 9 | 1 << 5 | 1;

template <typename T>
void Put(std::string& out, T value) {
  out += LittleEndian(value);
}

// A field: what the test set, else the truth.
template <typename T, typename U>
void Put(std::string& out, const std::optional<T>& set, U truth) {
  Put(out, set.value_or(static_cast<T>(truth)));
}

struct Truth {
  uint64_t compressed_size = 0;
  uint64_t size = 0;
  uint32_t crc32 = 0;
  bool zip64 = false;
};

std::string Payload(const Member& member) {
  if (member.hole != 0) return {};
  if (member.compressed) return *member.compressed;
  if (member.method == zip::kMethodStored) return member.data;
  if (member.method == zip::kMethodDeflated) return Deflate(member.data);
  // An unknown method: the data as it is.
  return member.data;
}

Truth TruthOf(const Member& member, uint64_t payload_size, uint64_t header_offset) {
  Truth truth;
  truth.compressed_size = member.hole != 0 ? member.hole : payload_size;
  truth.size = member.hole != 0 ? member.hole : member.data.size();
  truth.crc32 = member.hole != 0 ? Crc32OfZeros(member.hole) : Crc32(member.data);
  truth.zip64 =
      member.zip64 || std::max({truth.compressed_size, truth.size, header_offset}) >= kIn64Bits;
  return truth;
}

uint16_t FlagsOf(const Member& member) {
  return static_cast<uint16_t>(member.flags | (member.descriptor ? kFlagDescriptor : 0));
}

// From "version needed" to the extra field's length: the same in both headers.
void PutCommonFields(std::string& out, const HeaderFields& fields, const Member& member,
                     const Truth& truth, size_t name_size, size_t extra_size) {
  Put(out, fields.version_needed, truth.zip64 ? kVersion : 20);
  Put(out, fields.flags, FlagsOf(member));
  Put(out, fields.method, member.method);
  Put(out, fields.time, 0);
  Put(out, fields.date, kDefaultDate);
  Put(out, fields.crc32, truth.crc32);
  Put(out, fields.compressed_size, truth.zip64 ? kIn64Bits : truth.compressed_size);
  Put(out, fields.size, truth.zip64 ? kIn64Bits : truth.size);
  Put(out, fields.name_size, name_size);
  Put(out, fields.extra_size, extra_size);
}

std::string LocalHeader(const Member& member, const Truth& real) {
  const HeaderFields& fields = member.local;
  Truth truth = real;
  if (member.descriptor) {
    truth.crc32 = 0;
    truth.size = truth.compressed_size = 0;
  }
  const std::string name = fields.name.value_or(member.name);
  std::string extra = fields.zip64_extra.value_or(
      truth.zip64 ? Zip64Extra({truth.size, truth.compressed_size}) : "");
  extra += fields.extra;
  std::string out;
  Put(out, fields.signature, zip::kLocalHeaderSignature);
  PutCommonFields(out, fields, member, truth, name.size(), extra.size());
  return out + name + extra;
}

std::string DescriptorOf(const Truth& truth) {
  std::string out;
  Put(out, kDescriptorSignature);
  Put(out, truth.crc32);
  if (truth.zip64) {
    Put(out, truth.compressed_size);
    Put(out, truth.size);
  } else {
    Put(out, static_cast<uint32_t>(truth.compressed_size));
    Put(out, static_cast<uint32_t>(truth.size));
  }
  return out;
}

[[noreturn]] void ThrowErrno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

void SparseImage::Append(std::string_view bytes) {
  if (bytes.empty()) return;
  if (pieces_.empty() || pieces_.back().first + pieces_.back().second.size() != position_) {
    pieces_.emplace_back(position_, "");
  }
  pieces_.back().second += bytes;
  Seek(position_ + bytes.size());
}

void SparseImage::Seek(uint64_t offset) {
  position_ = offset;
  size_ = std::max(size_, position_);
}

std::string SparseImage::Flatten() const {
  std::string out(size_, '\0');
  for (const auto& [offset, bytes] : pieces_) out.replace(offset, bytes.size(), bytes);
  return out;
}

void SparseImage::WriteTo(const std::string& path) const {
  const util::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) ThrowErrno("open " + path);
  if (ftruncate(fd.get(), static_cast<off_t>(size_)) != 0) ThrowErrno("ftruncate " + path);
  for (const auto& [offset, bytes] : pieces_) {
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t wrote = pwrite(fd.get(), bytes.data() + done, bytes.size() - done,
                                   static_cast<off_t>(offset + done));
      if (wrote < 0) ThrowErrno("pwrite " + path);
      done += static_cast<size_t>(wrote);
    }
  }
}

ArchiveBuilder& ArchiveBuilder::Add(Member member) {
  members_.push_back(std::move(member));
  return *this;
}

ArchiveBuilder& ArchiveBuilder::Prepend(std::string bytes) {
  prepended_ = std::move(bytes);
  return *this;
}

ArchiveBuilder& ArchiveBuilder::BeforeDirectory(std::string bytes) {
  before_directory_ = std::move(bytes);
  return *this;
}

ArchiveBuilder& ArchiveBuilder::AfterDirectory(std::string bytes) {
  after_directory_ = std::move(bytes);
  return *this;
}

ArchiveBuilder& ArchiveBuilder::Comment(std::string comment) {
  comment_ = std::move(comment);
  return *this;
}

ArchiveBuilder& ArchiveBuilder::Trailing(std::string junk) {
  trailing_ = std::move(junk);
  return *this;
}

ArchiveBuilder& ArchiveBuilder::End(EndFields fields) {
  end_ = fields;
  return *this;
}

ArchiveBuilder& ArchiveBuilder::Zip64End(Zip64EndFields fields) {
  zip64_end_ = std::move(fields);
  return *this;
}

std::string ArchiveBuilder::Build() { return Assemble().Flatten(); }

void ArchiveBuilder::WriteTo(const std::string& path) { Assemble().WriteTo(path); }

SparseImage ArchiveBuilder::Assemble() {
  SparseImage image;
  layout_ = {};
  image.Append(prepended_);
  for (const Member& member : members_) layout_.members.push_back(PutMember(image, member));
  image.Seek(image.size());
  image.Append(before_directory_);
  layout_.directory = image.position();
  uint64_t entries = 0;
  for (size_t i = 0; i < members_.size(); ++i) {
    if (!members_[i].in_directory) continue;
    image.Append(CentralRecord(members_[i], layout_.members[i].header - prepended_.size()));
    ++entries;
  }
  layout_.directory_end = image.position();
  image.Append(after_directory_);
  PutEndRecords(image, entries);
  image.Append(comment_ + trailing_);
  layout_.size = image.size();
  return image;
}

Layout::Item ArchiveBuilder::PutMember(SparseImage& image, const Member& member) const {
  image.Seek(member.at ? prepended_.size() + *member.at : image.size());
  Layout::Item item{.header = image.position()};
  if (!member.has_local_header) return {item.header, item.header, item.header};
  const std::string payload = Payload(member);
  // The offset in the directory decides as well, so that both headers agree on ZIP64.
  const Truth truth = TruthOf(member, payload.size(), item.header - prepended_.size());
  image.Append(LocalHeader(member, truth));
  item.data = image.position();
  image.Append(payload);
  image.Seek(image.position() + member.hole);
  item.end = image.position();
  if (member.descriptor) image.Append(DescriptorOf(truth));
  image.Append(member.after_data);
  return item;
}

std::string ArchiveBuilder::CentralRecord(const Member& member, uint64_t header_offset) const {
  const HeaderFields& fields = member.central;
  const Truth truth = TruthOf(member, Payload(member).size(), header_offset);
  const std::string name = fields.name.value_or(member.name);
  std::string extra = fields.zip64_extra.value_or(
      truth.zip64 ? Zip64Extra({truth.size, truth.compressed_size, header_offset}) : "");
  extra += fields.extra;
  std::string out;
  Put(out, fields.signature, zip::kCentralHeaderSignature);
  Put(out, fields.version_made_by, 3 << 8 | kVersion);
  PutCommonFields(out, fields, member, truth, name.size(), extra.size());
  Put(out, fields.comment_size, fields.comment.size());
  Put(out, fields.disk, 0);
  Put(out, fields.internal_attributes, 0);
  Put(out, fields.external_attributes, 0100600U << 16);
  Put(out, fields.header_offset, truth.zip64 ? kIn64Bits : header_offset);
  return out + name + extra + fields.comment;
}

void ArchiveBuilder::PutEndRecords(SparseImage& image, uint64_t entries) {
  const uint64_t offset = layout_.directory - prepended_.size();
  const uint64_t size = layout_.directory_end - layout_.directory;
  const bool needs_zip64 = entries >= kMany || offset >= kIn64Bits || size >= kIn64Bits;
  if (needs_zip64 && !zip64_end_) zip64_end_.emplace();
  if (zip64_end_) {
    layout_.zip64_end_record = image.position();
    image.Append(Zip64EndRecords(image.position() - prepended_.size(), entries));
  }
  layout_.end_record = image.position();
  std::string out;
  Put(out, end_.signature, zip::kEndRecordSignature);
  Put(out, end_.disk, 0);
  Put(out, end_.directory_disk, 0);
  Put(out, end_.entries_here, std::min<uint64_t>(entries, kMany));
  Put(out, end_.entries, std::min<uint64_t>(entries, kMany));
  Put(out, end_.directory_size, std::min<uint64_t>(size, kIn64Bits));
  Put(out, end_.directory_offset, std::min<uint64_t>(offset, kIn64Bits));
  Put(out, end_.comment_size, comment_.size());
  image.Append(out);
}

std::string ArchiveBuilder::Zip64EndRecords(uint64_t start, uint64_t entries) const {
  const Zip64EndFields& fields = *zip64_end_;
  std::string out;
  if (fields.has_record) {
    Put(out, fields.signature, zip::kZip64EndRecordSignature);
    Put(out, fields.record_size, zip::kZip64EndRecordSize - 12 + fields.extensible_data.size());
    Put(out, fields.version_made_by, kVersion);
    Put(out, fields.version_needed, kVersion);
    Put(out, fields.disk, 0);
    Put(out, fields.directory_disk, 0);
    Put(out, fields.entries_here, entries);
    Put(out, fields.entries, entries);
    Put(out, fields.directory_size, layout_.directory_end - layout_.directory);
    Put(out, fields.directory_offset, layout_.directory - prepended_.size());
    out += fields.extensible_data;
  }
  if (fields.has_locator) {
    Put(out, fields.locator_signature, zip::kZip64LocatorSignature);
    Put(out, fields.locator_disk, 0);
    Put(out, fields.locator_offset, start);
    Put(out, fields.locator_disks, 1);
  }
  return out;
}

std::string ExtraField(uint16_t id, std::string_view data) {
  return LittleEndian(id) + LittleEndian(static_cast<uint16_t>(data.size())) + std::string(data);
}

std::string Zip64Extra(const std::vector<uint64_t>& values) {
  std::string data;
  for (const uint64_t value : values) data += LittleEndian(value);
  return ExtraField(zip::kZip64ExtraField, data);
}

std::string TimestampExtra(int32_t seconds) {
  return ExtraField(zip::kTimestampExtraField, "\1" + LittleEndian(seconds));
}

std::string Deflate(std::string_view data, int level) {
  z_stream stream{};
  constexpr int kRaw = -15;  // no zlib header
  if (deflateInit2(&stream, level, Z_DEFLATED, kRaw, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2");
  }
  std::string out(deflateBound(&stream, static_cast<uLong>(data.size())), '\0');
  // zlib does not write through next_in; it lacks the const only.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("deflate");
  return out;
}

uint32_t Crc32(std::string_view data) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size()));
}

uint32_t Crc32OfZeros(uint64_t count) {
  // Doubling: the CRC of 2n zeros is that of n zeros combined with itself.
  uLong result = 0;
  uLong power = Crc32(std::string_view("\0", 1));
  for (uint64_t n = 1; n <= count; n *= 2) {
    if ((count & n) != 0) result = crc32_combine64(result, power, static_cast<off_t>(n));
    power = crc32_combine64(power, power, static_cast<off_t>(n));
  }
  return static_cast<uint32_t>(result);
}

}  // namespace skopsfs::testing
