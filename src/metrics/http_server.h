#pragma once

#include <netinet/in.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "handover/counters.h"
#include "metrics/prometheus.h"
#include "util/unique_fd.h"

namespace skopsfs::metrics {

// Where to listen.
struct Address {
  std::string for_people = {};  // "HOST:PORT"
  sockaddr_in at = {};
};

// Parses "HOST:PORT", or "PORT", which is on 127.0.0.1. The host is an IPv4 number or "localhost".
// Throws std::invalid_argument with what is wrong.
Address ParseAddress(std::string_view text);

// Answers GET /metrics with the counters. It never waits for a client: one thread takes what each
// connection has, and closes the oldest when there are too many. So a client that sends half a
// request, or does not read the answer, keeps nobody waiting. Owns its sockets. Use from one
// thread.
class HttpServer {
 public:
  static constexpr size_t kMostConnections = 256;

  // Listens from now on. The counters must live longer. Throws util::Error with the reason when it
  // cannot listen there.
  HttpServer(const Address& address, const handover::Counters& counters, Subject subject);

  // Serves until the descriptor `stop` can be read; without one, for ever.
  void Run(int stop = -1);

 private:
  using Clock = std::chrono::steady_clock;

  struct Connection {
    util::UniqueFd socket;
    Clock::time_point since;
    std::string request{};
    std::string answer{};
    size_t sent = 0;

    bool wants_to_send() const { return sent < answer.size(); }
    bool is_answered() const { return !answer.empty() && !wants_to_send(); }
  };

  void Accept();
  bool Serve(Connection& connection) const;
  std::string AnswerTo(std::string_view request) const;

  const handover::Counters& counters_;
  const Subject subject_;
  util::UniqueFd listening_;
  std::vector<Connection> connections_;  // the oldest first
};

}  // namespace skopsfs::metrics
