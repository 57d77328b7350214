#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "archive/archive_index.h"
#include "archive/member_reader.h"
#include "by_name/schema_reader.h"

namespace skopsfs::catalog {

// Reading a larger schema takes so much memory that one is read at a time.
inline constexpr uint64_t kLargeSchema = uint64_t{1} << 20;
inline constexpr uint64_t kLargestSchema = uint64_t{1} << 30;

// The node of schema.json; nothing when the archive has none.
std::optional<uint32_t> SchemaOf(const archive::ArchiveIndex& index);

// Reads what the schema behind `reader` says of the archive's members. `missing` is called with the
// paths of members that the schema names and the archive has not. Throws util::Error when it is no
// schema, (EFBIG) when it has more than kLargestSchema bytes.
by_name::ObjectTree ReadObjectsOf(
    archive::MemberReader& reader, const archive::ArchiveIndex& index,
    const by_name::ReportMissing& missing = [](std::string_view) {});

}  // namespace skopsfs::catalog
