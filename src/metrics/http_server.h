#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "metrics/counters.h"
#include "metrics/prometheus.h"

namespace skopsfs::metrics {

// Where to listen.
struct Address {
  std::string host;  // an IPv4 number
  std::string port;

  std::string ForPeople() const { return host + ":" + port; }
};

// From "HOST:PORT" or "PORT" (which is on 127.0.0.1); the host is an IPv4 number or "localhost".
// Throws std::invalid_argument with what is wrong.
Address ParseAddress(std::string_view text);

// Answers GET /metrics with what the counters say, by threads of its own, for as long as it lives.
class HttpServer {
 public:
  // Throws util::Error with the reason when it cannot listen there. The counters must live longer.
  HttpServer(const Address& address, const Counters& counters, const Versions& versions);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skopsfs::metrics
