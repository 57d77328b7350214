#include "metrics/http_server.h"

#include <fmt/format.h>
#include <netdb.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>

#include <charconv>
#include <stdexcept>

#include "util/error.h"
#include "util/unique_fd.h"

namespace skopsfs::metrics {
namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

AddressList Resolve(const Address& address) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found) != 0) found = nullptr;
  return {found, freeaddrinfo};
}

// The library does not say why it cannot listen.
void TryToListen(const Address& address) {
  const std::string what = "listening for metrics at " + address.ForPeople();
  const auto found = Resolve(address);
  if (!found) throw util::Error(EINVAL, what + ": no such address");
  const util::UniqueFd socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw util::ErrnoError(what);
  const int on = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 || listen(socket.get(), 1) != 0) {
    throw util::ErrnoError(what);
  }
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

std::string Address::ForPeople() const {
  return host.find(':') == std::string::npos ? host + ":" + port : "[" + host + "]:" + port;
}

Address ParseAddress(std::string_view text) {
  const auto fail = [&] {
    throw std::invalid_argument(fmt::format(
        "'{}' is no HOST:PORT, with a number for HOST and a PORT from 1 to 65535", text));
  };
  const size_t colon = text.rfind(':');
  std::string_view host = colon == std::string_view::npos ? "127.0.0.1" : text.substr(0, colon);
  const std::string_view port = colon == std::string_view::npos ? text : text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    fail();
  }
  if (host == "localhost") host = "127.0.0.1";
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number == 0) fail();
  Address address{.host = std::string(host), .port = std::string(port)};
  if (host.empty() || !Resolve(address)) fail();
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
    impl_->exposer = std::make_unique<prometheus::Exposer>(address.ForPeople());
  } catch (const std::exception& error) {
    throw util::Error(
        EIO, fmt::format("listening for metrics at {}: {}", address.ForPeople(), error.what()));
  }
  impl_->exposer->RegisterCollectable(impl_->collector);
}

HttpServer::~HttpServer() = default;

}  // namespace skopsfs::metrics
