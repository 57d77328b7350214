#include "metrics/http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>

#include <charconv>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "util/error.h"
#include "util/unique_fd.h"

namespace skopsfs::metrics {
namespace {

// Nothing when the host is no IPv4 number, which is all that Debian's library listens at.
std::optional<sockaddr_in> Parse(const Address& address) {
  sockaddr_in parsed{};
  parsed.sin_family = AF_INET;
  parsed.sin_port = htons(static_cast<uint16_t>(std::stoul(address.port)));
  if (inet_pton(AF_INET, address.host.c_str(), &parsed.sin_addr) != 1) return std::nullopt;
  return parsed;
}

// The library does not say why it cannot listen.
void TryToListen(const Address& address) {
  const std::string what = "listening for metrics at " + address.ForPeople();
  const auto parsed = Parse(address);
  if (!parsed) throw util::Error(EINVAL, what + ": no such address");
  const util::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw util::ErrnoError(what);
  const int on = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const auto* const at = reinterpret_cast<const sockaddr*>(&*parsed);
  if (bind(socket.get(), at, sizeof(*parsed)) != 0 || listen(socket.get(), 1) != 0) {
    throw util::ErrnoError(what);
  }
}

// Who sends half a request must not keep others waiting for long.
std::vector<std::string> OptionsFor(const Address& address) {
  return {
      "listening_ports", address.ForPeople(), "num_threads", "16", "request_timeout_ms", "3000"};
}

class Collector : public prometheus::Collectable {
 public:
  Collector(const Counters& counters, Versions versions)
      : counters_(counters), versions_(std::move(versions)) {}
  std::vector<prometheus::MetricFamily> Collect() const override {
    return Families(counters_, versions_);
  }

 private:
  const Counters& counters_;
  const Versions versions_;
};

}  // namespace

Address ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  std::string_view host = colon == std::string_view::npos ? "127.0.0.1" : text.substr(0, colon);
  const std::string_view port = colon == std::string_view::npos ? text : text.substr(colon + 1);
  if (host == "localhost") host = "127.0.0.1";
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  const bool is_port = error == std::errc() && end == port.data() + port.size() && number != 0;
  Address address{.host = std::string(host), .port = std::to_string(number)};
  if (!is_port || !Parse(address)) {
    throw std::invalid_argument(
        fmt::format("'{}' is no HOST:PORT, with four numbers (IPv4) for HOST and a PORT from 1 to "
                    "65535",
                    text));
  }
  return address;
}

struct HttpServer::Impl {
  std::shared_ptr<Collector> collector;
  std::unique_ptr<prometheus::Exposer> exposer;
};

HttpServer::HttpServer(const Address& address, const Counters& counters, const Versions& versions)
    : impl_(std::make_unique<Impl>()) {
  TryToListen(address);
  impl_->collector = std::make_shared<Collector>(counters, versions);
  try {
    impl_->exposer = std::make_unique<prometheus::Exposer>(OptionsFor(address));
  } catch (const std::exception& error) {
    throw util::Error(
        EIO, fmt::format("listening for metrics at {}: {}", address.ForPeople(), error.what()));
  }
  impl_->exposer->RegisterCollectable(impl_->collector);
}

HttpServer::~HttpServer() = default;

}  // namespace skopsfs::metrics
