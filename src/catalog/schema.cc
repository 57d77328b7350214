#include "catalog/schema.h"

#include "util/error.h"

namespace skopsfs::catalog {
namespace {

std::optional<by_name::Member> FindMember(const archive::ArchiveIndex& index,
                                          std::string_view path) {
  uint32_t at = 0;
  while (true) {
    const auto slash = path.find('/');
    const auto found = index.tree().Find(at, path.substr(0, slash));
    if (!found) return std::nullopt;
    at = *found;
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  const auto node = index.node(at);
  if (node.is_directory) return std::nullopt;
  return by_name::Member{.index = at, .name = index.tree().Name(node)};
}

}  // namespace

std::optional<uint32_t> SchemaOf(const archive::ArchiveIndex& index) {
  const auto found = index.tree().Find(0, "schema.json");
  if (!found || index.node(*found).is_directory) return std::nullopt;
  return found;
}

by_name::ObjectTree ReadObjectsOf(archive::MemberReader& reader, const archive::ArchiveIndex& index,
                                  const by_name::ReportMissing& missing) {
  const auto schema = SchemaOf(index);
  if (schema && index.EntryOf(*schema)->size > kLargestSchema) {
    throw util::Error(EFBIG, "schema.json is larger than the limit of 1 GiB");
  }
  uint64_t offset = 0;
  return by_name::ReadObjects(
      [&](std::span<char> out) {
        const size_t got = reader.Read(offset, std::as_writable_bytes(out));
        offset += got;
        return got;
      },
      [&](std::string_view path) { return FindMember(index, path); }, missing);
}

}  // namespace skopsfs::catalog
