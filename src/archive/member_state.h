#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "archive/crc32.h"
#include "archive/decode_stream.h"
#include "archive/decoder_pool.h"
#include "util/mutex.h"

namespace skopsfs::archive {

// What all who read one member of an archive version share: what is known of its CRC-32, so
// that it is read through once, and its decoder, so that it is decoded once. Thread-safe.
//
// Of bytes whose CRC-32 nobody has said, as of a file that is no archive, the first one that goes
// by is taken for it.
struct MemberState {
  static constexpr int64_t kNone = INT64_MIN;

  // The pool must live longer.
  MemberState(uint64_t size, DecoderPool& decoders) : pool(decoders), running_crc(size) {}
  ~MemberState() { pool.Drop(decoder); }
  MemberState(const MemberState&) = delete;
  MemberState& operator=(const MemberState&) = delete;

  DecoderPool& pool;
  // Whoever sees that the file may have changed drops it, as it may hold bytes of before.
  DecoderPool::Owner decoder;

  // Of the version as it was opened: both last as long as the version.
  std::atomic<bool> right = false;
  std::atomic<bool> wrong = false;
  RunningCrc32 running_crc;         // until one of them is known
  std::atomic<uint32_t> crc32 = 0;  // of the bytes, once it is right

  // Since the change time of the file moved: found right with `proven`, wrong with `disproven`.
  // Held while the member is read through, hence taken before those of the pool and decoders.
  util::LongMutex mutex;
  int64_t proven GUARDED_BY(mutex) = kNone;
  int64_t disproven GUARDED_BY(mutex) = kNone;
};

// The states of the members of one archive version that somebody reads. Does not own them.
// Thread-safe.
class MemberStates {
 public:
  // What all who read the member share; its decoder is of `pool`.
  std::shared_ptr<MemberState> Of(const Extent& extent, DecoderPool& pool) {
    constexpr size_t kRemembered = 1024;  // before those nobody reads are looked for
    const Position position(extent.within ? std::optional(extent.within->offset) : std::nullopt,
                            extent.offset);
    const util::MutexLock lock(mutex_);
    if (states_.size() >= kRemembered) {
      std::erase_if(states_, [](const auto& item) { return item.second.expired(); });
    }
    auto& known = states_[position];
    auto state = known.lock();
    if (!state) known = state = std::make_shared<MemberState>(extent.size, pool);
    return state;
  }

 private:
  // Where the bytes of a member begin: in the file, or in those of the compressed member that
  // begins there.
  using Position = std::pair<std::optional<uint64_t>, uint64_t>;

  util::Mutex mutex_;
  std::map<Position, std::weak_ptr<MemberState>> states_ GUARDED_BY(mutex_);
};

}  // namespace skopsfs::archive
