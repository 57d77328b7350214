#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/temp_folder.h"
#include "util/unique_fd.h"

namespace skopsfs::testing {

// Stands for systemd, as whose service this process runs from then on.
class ServiceSocket {
 public:
  ServiceSocket() {
    const std::string path = folder_ / "notify";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) abort();
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }

  // What it was told since, one message an element.
  std::vector<std::string> Told() const {
    std::vector<std::string> told;
    std::array<char, 4096> text{};
    ssize_t got = 0;
    while ((got = recv(socket_.get(), text.data(), text.size(), MSG_DONTWAIT)) > 0) {
      told.emplace_back(text.data(), got);
    }
    return told;
  }

 private:
  const TempFolder folder_;
  const util::UniqueFd socket_{socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

}  // namespace skopsfs::testing
