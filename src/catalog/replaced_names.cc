#include "catalog/replaced_names.h"

#include <fcntl.h>

#include <algorithm>

#include "util/error.h"

namespace skopsfs::catalog {

bool ReplacedNames::Contains(const std::string& path) const {
  const util::MutexLock lock(mutex_);
  return std::any_of(periods_.begin(), periods_.end(),
                     [&](const Period& period) { return period.names.contains(path); });
}

bool ReplacedNames::IsVersion(const std::string& path, const archive::ArchiveFile& file) {
  if (file.IsCurrent()) return true;
  if (!Contains(path)) {
    Add(path);
    return false;
  }
  try {
    file.CheckUnchanged();
    return true;
  } catch (const util::Error&) {
    return false;
  }
}

void ReplacedNames::Keep(const std::string& path, uint64_t slot_id, const source::Found& found) {
  if (!S_ISREG(found.st.st_mode) || !Contains(path)) return;
  util::UniqueFd fd(fcntl(found.fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd) return;  // its users may get ESTALE
  auto kept = std::make_shared<const source::Found>(source::Found{std::move(fd), found.st});
  const util::MutexLock lock(mutex_);
  auto& all = periods_[0].kept;
  std::erase_if(all, [&](const auto& item) { return item.first == slot_id; });
  all.emplace_front(slot_id, std::move(kept));
  if (all.size() > kMostKept) all.pop_back();
}

std::shared_ptr<const source::Found> ReplacedNames::Kept(uint64_t slot_id) const {
  const util::MutexLock lock(mutex_);
  for (const auto& period : periods_) {
    for (const auto& [id, found] : period.kept) {
      if (id == slot_id) return found;
    }
  }
  return nullptr;
}

void ReplacedNames::Tidy() {
  Period old;  // goes last, so that its descriptors are closed without the lock
  const util::MutexLock lock(mutex_);
  old = std::exchange(periods_[1], std::exchange(periods_[0], {}));
}

}  // namespace skopsfs::catalog
