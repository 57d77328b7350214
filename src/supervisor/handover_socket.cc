#include "supervisor/handover_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "util/error.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

using util::ErrnoError;
using util::Error;
using util::UniqueFd;

constexpr int kMostWaiting = 16;  // for the listener to look at them

Error Failed(const std::string& path) {
  return ErrnoError("handover socket " + util::Quoted(path));
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    throw Error(ENAMETOOLONG,
                fmt::format("handover socket {}: the path has {} bytes, {} are possible",
                            util::Quoted(path), path.size(), sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

UniqueFd MakeSocket(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) throw Failed(path);
  return socket;
}

bool IsOfThisUser(const UniqueFd& connection) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         peer.uid == geteuid();
}

// Between looking who is there and taking the place nobody else does either. It is the folder that
// is locked, so that nothing is left of that.
UniqueFd LockFolderOf(const std::string& path) {
  constexpr auto kPause = std::chrono::milliseconds(20);
  constexpr int kMostTries = 500;
  const auto parent = std::filesystem::path(path).parent_path();
  UniqueFd folder(open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) throw Failed(path);
  for (int i = 0; flock(folder.get(), LOCK_EX | LOCK_NB) != 0; ++i) {
    if (errno != EWOULDBLOCK || i == kMostTries) throw Failed(path);
    std::this_thread::sleep_for(kPause);
  }
  return folder;
}

// Removes a socket that nobody listens at.
void RemoveStale(const std::string& path) {
  struct stat st {};
  if (lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return;
    throw Failed(path);
  }
  if (!S_ISSOCK(st.st_mode))
    throw Error(EEXIST, "handover socket " + util::Quoted(path) + ": something else is there");
  if (st.st_uid != geteuid())
    throw Error(EPERM, "handover socket " + util::Quoted(path) + ": it belongs to another user");
  if (unlink(path.c_str()) != 0) throw Failed(path);
}

}  // namespace

Meeting MeetAt(const std::string& path) {
  const auto address = AddressOf(path);
  const auto* const at = reinterpret_cast<const sockaddr*>(&address);
  const auto lock = LockFolderOf(path);
  auto socket = MakeSocket(path);
  fcntl(socket.get(), F_SETFL, O_NONBLOCK);  // or it would wait where many others do
  if (connect(socket.get(), at, sizeof(address)) == 0) {
    fcntl(socket.get(), F_SETFL, 0);
    if (!IsOfThisUser(socket))
      throw Error(EPERM, "handover socket " + util::Quoted(path) + ": another user listens there");
    return {handover::Channel(std::move(socket)), {}};
  }
  if (errno != ENOENT && errno != ECONNREFUSED) throw Failed(path);
  RemoveStale(path);
  socket = MakeSocket(path);
  const mode_t before = umask(0177);
  const bool is_bound = bind(socket.get(), at, sizeof(address)) == 0;
  umask(before);
  if (!is_bound || listen(socket.get(), kMostWaiting) != 0) throw Failed(path);
  fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  return {std::nullopt, std::move(socket)};
}

std::optional<handover::Channel> AcceptAt(int listener) {
  UniqueFd connection(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection || !IsOfThisUser(connection)) return std::nullopt;
  return handover::Channel(std::move(connection));
}

}  // namespace skopsfs::supervisor
