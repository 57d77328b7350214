#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "archive/archive_index.h"
#include "archive/member_reader.h"
#include "by_name/schema_reader.h"

namespace skopsfs::catalog {

// Of a larger one than this, so much is made that one is read at a time.
inline constexpr uint64_t kLargeSchema = uint64_t{1} << 20;
inline constexpr uint64_t kLargestSchema = uint64_t{1} << 30;

// The node of schema.json, in an archive that has one.
std::optional<uint32_t> SchemaOf(const archive::ArchiveIndex& index);

// What the schema behind `reader` says of the archive's members. `missing` is called with the names
// that it has for members which are not there. Throws util::Error where it is no schema, (EFBIG)
// where it has more than kLargestSchema bytes.
by_name::ObjectTree ReadObjectsOf(
    archive::MemberReader& reader, const archive::ArchiveIndex& index,
    const by_name::ReportMissing& missing = [](std::string_view) {});

}  // namespace skopsfs::catalog
