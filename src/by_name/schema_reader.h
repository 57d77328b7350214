#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "by_name/code_points.h"
#include "by_name/object_tree.h"

namespace skopsfs::by_name {

// A member of the archive, by its node index and its name without folders.
struct Member {
  uint32_t index;
  std::string_view name;
};
// Nothing when there is no member of that path.
using FindMember = std::function<std::optional<Member>(std::string_view path)>;
using ReportMissing = std::function<void(std::string_view path)>;

// Reads a schema.json as skops writes it (protocols 0 to 2, and later ones that look alike), piece
// by piece. An object that is not in a member and leads to none is dropped on the way. Levels that
// only the format has do not show: an estimator's attributes are its children, whatever its state
// was wrapped in. A list of (name, value) tuples is named by their names, if all differ and are
// safe. `missing` is called for members that the schema names and `find` does not find; of a long
// path it gets the front. Throws util::Error(EIO) when it is no such schema, (EFBIG) when it is
// beyond a limit.
ObjectTree ReadObjects(
    const ReadSchema& read, const FindMember& find,
    const ReportMissing& missing = [](std::string_view) {});

}  // namespace skopsfs::by_name
