#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace skopsfs::fuse {

// Open handles as the numbers that the kernel gives back. A number is the handle's address, whose
// lowest four bits are zeros, below the generation of the process that gave it; so finding one's
// own takes neither a lock nor a search. Numbers of predecessors are handles that are made again
// when they are first asked for. Thread-safe, as far as the kernel sees to it that a handle is
// released after all requests for it.
template <typename Handle>
class Handles {
 public:
  static constexpr unsigned kAddressBits = 44;
  static constexpr uint32_t kGenerations = 1U << (64 - kAddressBits);

  void SetGeneration(uint32_t generation) { generation_ = generation; }

  uint64_t Give(std::unique_ptr<Handle> handle) {
    return uint64_t{generation_} << kAddressBits |
           reinterpret_cast<uint64_t>(handle.release()) >> kZeros;
  }

  bool IsOwn(uint64_t number) const { return number >> kAddressBits == generation_; }

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
  static constexpr unsigned kZeros = 4;  // of what operator new returns

  Handle* Own(uint64_t number) const {
    if (!IsOwn(number)) return nullptr;
    return reinterpret_cast<Handle*>((number & ((uint64_t{1} << kAddressBits) - 1)) << kZeros);
  }

  uint32_t generation_ = 0;
  std::mutex mutex_;
  std::map<uint64_t, std::unique_ptr<Handle>> inherited_;
};

}  // namespace skopsfs::fuse
