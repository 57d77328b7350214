#include "metrics/http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include "util/error.h"
#include "util/number.h"

namespace skopsfs::metrics {
namespace {

constexpr size_t kMostOfRequest = 8192;               // bytes
constexpr auto kPatience = std::chrono::seconds(30);  // with a connection
constexpr int kPause = 1000;     // milliseconds, at most, between two looks at it
constexpr int kShortPause = 10;  // milliseconds, when there is no descriptor left

util::UniqueFd Listen(const Address& address) {
  const std::string what = "listening for metrics at " + address.for_people;
  util::UniqueFd listening(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listening) throw util::ErrnoError(what);
  const int on = 1;
  setsockopt(listening.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const auto* const at = reinterpret_cast<const sockaddr*>(&address.at);
  if (bind(listening.get(), at, sizeof(address.at)) != 0 ||
      listen(listening.get(), SOMAXCONN) != 0) {
    throw util::ErrnoError(what);
  }
  return listening;
}

bool MayComeLater() { return errno == EAGAIN || errno == EINTR; }

bool IsWhole(std::string_view request) {
  return request.find("\r\n\r\n") != std::string_view::npos ||
         request.find("\n\n") != std::string_view::npos;
}

std::string Answer(std::string_view status, std::string_view type, std::string_view text,
                   bool with_text = true) {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: {}; charset=utf-8\r\nContent-Length: {}\r\n"
      "Connection: close\r\n\r\n{}",
      status, type, text.size(), with_text ? text : "");
}

std::string Refusal(std::string_view status) {
  return Answer(status, "text/plain", fmt::format("{}\n", status));
}

}  // namespace

Address ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  std::string_view host = colon == std::string_view::npos ? "127.0.0.1" : text.substr(0, colon);
  const std::string_view port = colon == std::string_view::npos ? text : text.substr(colon + 1);
  if (host == "localhost") host = "127.0.0.1";
  const auto number = util::ParseNumber<uint16_t>(port).value_or(0);
  Address address{.for_people = fmt::format("{}:{}", host, number)};
  address.at.sin_family = AF_INET;
  address.at.sin_port = htons(number);
  if (number == 0 || inet_pton(AF_INET, std::string(host).c_str(), &address.at.sin_addr) != 1) {
    throw std::invalid_argument(
        fmt::format("'{}' is not HOST:PORT, with four numbers (IPv4) for HOST and a PORT from 1 to "
                    "65535",
                    text));
  }
  return address;
}

HttpServer::HttpServer(const Address& address, const handover::Counters& counters, Subject subject)
    : counters_(counters), subject_(std::move(subject)), listening_(Listen(address)) {}

void HttpServer::Run(int stop) {
  while (true) {
    std::vector<pollfd> events = {{stop, POLLIN, 0}, {listening_.get(), POLLIN, 0}};
    for (const auto& connection : connections_) {
      events.push_back({connection.socket.get(),
                        static_cast<short>(connection.wants_to_send() ? POLLOUT : POLLIN), 0});
    }
    if (poll(events.data(), events.size(), kPause) < 0 && errno != EINTR) {
      throw util::ErrnoError("waiting for requests");
    }
    if (events[0].revents != 0) return;
    const auto now = Clock::now();
    auto event = events.begin() + 2;
    std::erase_if(connections_, [&](Connection& connection) {
      const bool is_ready = (event++)->revents != 0;
      return now > connection.since + kPatience || (is_ready && !Serve(connection));
    });
    if (events[1].revents != 0) Accept();
  }
}

// Those that are there, or so many of them. For each one too many the oldest goes.
void HttpServer::Accept() {
  for (size_t i = 0; i < kMostConnections; ++i) {
    util::UniqueFd socket(
        accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    const bool is_short = !socket && errno != ECONNABORTED && !MayComeLater();  // of descriptors
    if (is_short && connections_.empty()) poll(nullptr, 0, kShortPause);
    if ((is_short && !connections_.empty()) || connections_.size() == kMostConnections) {
      connections_.erase(connections_.begin());
    }
    if (!socket) return;
    connections_.push_back({.socket = std::move(socket), .since = Clock::now()});
    if (!Serve(connections_.back())) connections_.pop_back();
  }
}

// Takes and gives what there is now. False when it is over.
bool HttpServer::Serve(Connection& connection) const {
  const int socket = connection.socket.get();
  std::array<char, 4096> data{};
  if (!connection.is_answered()) {
    if (connection.answer.empty()) {
      const ssize_t got = recv(socket, data.data(), data.size(), 0);
      if (got <= 0) return got < 0 && MayComeLater();
      connection.request.append(data.data(), static_cast<size_t>(got));
      if (!IsWhole(connection.request)) return connection.request.size() < kMostOfRequest;
      connection.answer = AnswerTo(connection.request);
    }
    const auto rest = std::string_view(connection.answer).substr(connection.sent);
    const ssize_t sent = send(socket, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0) return MayComeLater();
    connection.sent += static_cast<size_t>(sent);
    return !connection.is_answered() || shutdown(socket, SHUT_WR) == 0;
  }
  // To be read to its end: a close that leaves something unread would take the answer back.
  const ssize_t got = recv(socket, data.data(), data.size(), 0);
  return got > 0 || (got < 0 && MayComeLater());
}

std::string HttpServer::AnswerTo(std::string_view request) const {
  const auto line = request.substr(0, request.find_first_of("\r\n"));
  const auto method = line.substr(0, line.find(' '));
  auto path = line.substr(std::min(line.size(), method.size() + 1));
  const auto version = path.substr(std::min(path.size(), path.find(' ')));
  path = path.substr(0, path.find_first_of(" ?"));
  if (!version.starts_with(" HTTP/1.")) return Refusal("400 Bad Request");
  if (method != "GET" && method != "HEAD") return Refusal("405 Method Not Allowed");
  if (path != "/metrics") return Refusal("404 Not Found");
  const auto text = PrometheusText(counters_, subject_);
  return Answer("200 OK", "text/plain; version=0.0.4", text, method == "GET");
}

}  // namespace skopsfs::metrics
