#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace skopsfs::fuse {

// Open handles as the numbers that the kernel gives back. A number is the handle's address with the
// generation of the process that gave it in the upper bits, which no address of user space uses; so
// finding one's own takes neither a lock nor a search. Numbers of predecessors are handles that are
// made again when they are first asked for. Thread-safe, as far as the kernel sees to it that a
// handle is released after all requests for it.
template <typename Handle>
class Handles {
 public:
  void SetGeneration(uint16_t generation) { generation_ = generation; }

  uint64_t Give(std::unique_ptr<Handle> handle) {
    return uint64_t{generation_} << kAddressBits | reinterpret_cast<uint64_t>(handle.release());
  }

  // `make_again` returns the handle of a predecessor, or throws.
  template <typename MakeAgain>
  Handle& Find(uint64_t number, const MakeAgain& make_again) {
    if (Handle* own = Own(number)) return *own;
    {
      const std::lock_guard lock(mutex_);
      const auto found = inherited_.find(number);
      if (found != inherited_.end()) return *found->second;
    }
    auto made = make_again();
    const std::lock_guard lock(mutex_);
    return *inherited_.try_emplace(number, std::move(made)).first->second;
  }

  // nullptr for one of a predecessor that was never asked for.
  std::unique_ptr<Handle> Take(uint64_t number) {
    if (Handle* own = Own(number)) return std::unique_ptr<Handle>(own);
    const std::lock_guard lock(mutex_);
    const auto node = inherited_.extract(number);
    return node ? std::move(node.mapped()) : nullptr;
  }

 private:
  static constexpr unsigned kAddressBits = 48;

  Handle* Own(uint64_t number) const {
    if (number >> kAddressBits != generation_) return nullptr;
    return reinterpret_cast<Handle*>(number & ((uint64_t{1} << kAddressBits) - 1));
  }

  uint16_t generation_ = 0;
  std::mutex mutex_;
  std::map<uint64_t, std::unique_ptr<Handle>> inherited_;
};

}  // namespace skopsfs::fuse
