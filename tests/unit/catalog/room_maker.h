#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "catalog/open_archives.h"

namespace skopsfs::testing {

// Has archives let go of when somebody waits for room, as the housekeeper does: `let_go` plays the
// kernel, which drops what nobody uses. What it is given last must outlive it.
class RoomMaker {
 public:
  using LetGo = std::function<void(std::shared_ptr<catalog::Slot>)>;

  explicit RoomMaker(
      catalog::OpenArchives& open, LetGo let_go = [](auto) {})
      : thread_([this, &open, let_go = std::move(let_go)](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            if (open.WaitForShortage(stop, std::chrono::seconds(1))) Round(open, let_go);
          }
        }) {}

  int rounds() const { return rounds_; }

 private:
  void Round(catalog::OpenArchives& open, const LetGo& let_go) {
    ++rounds_;
    auto slots = open.LeastRecentlyRead();
    for (auto& slot : slots) {
      open.WasAskedFor(*slot);
      let_go(std::exchange(slot, nullptr));
      if (open.WaitForRoom(std::chrono::milliseconds(1))) return;
    }
    if (!open.WaitForRoom(std::chrono::milliseconds(1))) open.NoRoomIsLeft();
  }

  std::atomic<int> rounds_ = 0;
  std::jthread thread_;
};

}  // namespace skopsfs::testing
