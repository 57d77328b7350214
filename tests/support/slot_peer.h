#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "catalog/slot.h"

namespace skopsfs::catalog {

// What tests do with a slot that nothing else can: they see what it remembers, and take away what
// it has as when memory or descriptors are short, but at once.
class SlotPeer {
  template <typename Call>
  auto Locked(const Call& call) const {
    const util::MutexLock lock(slot_.mutex_);
    return call();
  }

 public:
  explicit SlotPeer(Slot& slot) : slot_(slot) {}
  explicit SlotPeer(const std::shared_ptr<Slot>& slot) : slot_(*slot) {}

  util::LongMutex& mutex() const { return slot_.mutex_; }

  bool was_read() const {
    return Locked([&] { return slot_.was_read_; });
  }
  bool is_kept() const {
    return Locked([&] { return slot_.kept_ != nullptr; });
  }
  size_t readers() const {
    return Locked([&] { return slot_.readers_.size(); });
  }

  void DropFile() const {
    Locked([&] { slot_.file_.reset(); });
  }
  void DropIndex() const {
    Locked([&] { slot_.index_.reset(); });
  }
  void DropReaders() const {
    Locked([&] { slot_.readers_.clear(); });
  }
  void DropNames() const {
    Locked([&] {
      slot_.names_.made.reset();
      slot_.npz_.clear();
    });
  }

 private:
  Slot& slot_;
};

// Makes slots of archives, with ids from 1 on. It must outlive them.
class SlotMaker {
 public:
  std::shared_ptr<Slot> Make() {
    struct stat st {};
    st.st_mode = S_IFREG;
    return Make("a.skops", st);
  }
  std::shared_ptr<Slot> Make(const std::string& path, const struct stat& st) {
    auto* const record = store_.Add(root_->id, path, st);
    return std::make_shared<Slot>(handover::OwnedRecord(record, {&store_}), root_);
  }

 private:
  handover::SlotStore store_;
  const std::shared_ptr<Slot> root_ = std::make_shared<Slot>((struct stat){}, true);
};

}  // namespace skopsfs::catalog
