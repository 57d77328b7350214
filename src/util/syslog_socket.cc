#include "util/syslog_socket.h"

#include <fmt/chrono.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

namespace skopsfs::util {
namespace {

constexpr std::array kSeverities = {LOG_ERR, LOG_WARNING, LOG_INFO};  // by LogLevel

}  // namespace

SyslogSocket::SyslogSocket(std::string program, std::string path)
    : program_(std::move(program)), path_(std::move(path)) {
  Connect();
}

bool SyslogSocket::Send(LogLevel level, const std::string& line) {
  if (!socket_ && !Connect()) return false;
  const int kind = LOG_DAEMON | kSeverities.at(static_cast<size_t>(level));
  // As every syslog server reads it (RFC 3164).
  auto text = fmt::format("<{}>{:%h %e %T} {}[{}]: {}", kind, fmt::localtime(std::time(nullptr)),
                          program_, getpid(), line);
  if (is_stream_) text += '\0';  // ends a record there
  const auto send = [&] {
    const auto sent = ::send(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    // The rest of a record that went in part would be taken for the next one.
    if (sent >= 0 && static_cast<size_t>(sent) < text.size()) socket_.Reset();
    return sent >= 0;
  };
  if (send()) return true;
  if (errno == EAGAIN) return false;
  return Connect() && send();  // the receiver was started anew
}

bool SyslogSocket::Connect() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof(address.sun_path)) return false;
  path_.copy(address.sun_path, path_.size());
  for (const bool is_stream : {false, true}) {
    const int type = is_stream ? SOCK_STREAM : SOCK_DGRAM;
    socket_.Reset(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    is_stream_ = is_stream;
    const auto* const at = reinterpret_cast<const sockaddr*>(&address);
    if (socket_ && connect(socket_.get(), at, sizeof(address)) == 0) return true;
    if (errno != EPROTOTYPE) break;
  }
  socket_.Reset();
  return false;
}

}  // namespace skopsfs::util
