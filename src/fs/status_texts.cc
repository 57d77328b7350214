#include "fs/status_texts.h"

#include "util/error.h"
#include "util/log.h"

namespace skopsfs::fs {
namespace {

constexpr uint32_t kFirst = kStatusFolderNode.index + 1;
constexpr uint64_t kRoom = (uint64_t{1} << NodeId::kIndexBits) - kFirst;

}  // namespace

NodeId StatusTexts::Add(const StatusFile& file, std::string text, const struct stat& root) {
  const util::MutexLock lock(mutex_);
  size_t texts = 0;
  size_t bytes = text.size();
  for (const auto& [index, known] : known_) {
    if (known->file.kind != file.kind) continue;
    ++texts;
    bytes += known->text.size();
  }
  if (texts >= kMost || bytes > kMostBytes) {
    throw util::Error(ENFILE, "too many files of .skopsfs are open");
  }
  NodeId node;
  do {
    node.index = static_cast<uint32_t>(kFirst + made_++ % kRoom);
  } while (known_.contains(node.index));
  const auto attributes = StatusFileAttributes(node, file, text.size(), root);
  known_[node.index] =
      std::make_shared<const StatusText>(StatusText{file, std::move(text), attributes});
  return node;
}

std::shared_ptr<const StatusText> StatusTexts::Find(NodeId node) {
  const util::MutexLock lock(mutex_);
  const auto known = known_.find(node.index);
  if (known != known_.end()) return known->second;
  util::LogWarning("{}: a file opened before another worker took over can no longer be read",
                   kStatusFolder);
  throw util::Error(EIO, "the worker that made it is gone");
}

// It had one lookup.
void StatusTexts::Forget(NodeId node) noexcept {
  const util::MutexLock lock(mutex_);
  known_.erase(node.index);
}

}  // namespace skopsfs::fs
