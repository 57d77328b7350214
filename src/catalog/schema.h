#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "archive/archive_index.h"
#include "archive/member_reader.h"
#include "by_name/object_tree.h"

namespace skopsfs::catalog {

// The node of schema.json, in an archive that has one.
std::optional<uint32_t> SchemaOf(const archive::ArchiveIndex& index);

// What the schema behind `reader` says of the archive's members. `missing` is called with the names
// that it has for members which are not there. Throws util::Error where it is no schema.
by_name::Object ReadObjectsOf(archive::MemberReader& reader, const archive::ArchiveIndex& index,
                              const std::function<void(std::string_view)>& missing);

}  // namespace skopsfs::catalog
