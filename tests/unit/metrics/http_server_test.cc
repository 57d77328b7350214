#include "metrics/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/errors.h"
#include "util/unique_fd.h"

namespace skopsfs::metrics {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ParseAddress, APortAloneIsOnLoopback) {
  EXPECT_EQ(ParseAddress("9400").for_people, "127.0.0.1:9400");
}

TEST(ParseAddress, HostsAreNumbers) {
  EXPECT_EQ(ParseAddress("0.0.0.0:1").for_people, "0.0.0.0:1");
  EXPECT_EQ(ParseAddress("localhost:65535").for_people, "127.0.0.1:65535");
  EXPECT_EQ(ParseAddress("127.0.0.1:0080").for_people, "127.0.0.1:80");
}

TEST(ParseAddress, EverythingElseIsRefused) {
  for (const char* text :
       {"", ":", ":9400", "9400:", "0", "65536", "-1", "9400x", "host:1", "::1:9400", "[::1]:9400",
        "0:9400", "127.1:9400", "[]:1", "127.0.0.1:0", "1.2.3:4:5", "999.0.0.1:80"}) {
    EXPECT_THROW(ParseAddress(text), std::invalid_argument) << text;
  }
}

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// A socket that listens at a port of its own.
util::UniqueFd Listening(uint16_t& port) {
  util::UniqueFd listening(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto address = Loopback(0);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(listening.get(), any, size), 0);
  EXPECT_EQ(listen(listening.get(), 1), 0);
  EXPECT_EQ(getsockname(listening.get(), any, &size), 0);
  port = ntohs(address.sin_port);
  return listening;
}

TEST(HttpServer, SaysWhyItCannotListen) {
  uint16_t port = 0;
  const auto other = Listening(port);
  const auto taken = ParseAddress(std::to_string(port));
  const auto counters = std::make_unique<handover::Counters>();
  EXPECT_EQ(testing::ErrnoOf([&] { HttpServer(taken, *counters, {}); }), EADDRINUSE);
}

// A server in a thread, and clients of it.
class Serving : public ::testing::Test {
 protected:
  Serving() {
    Listening(port_);  // and free again
    server_ =
        std::make_unique<HttpServer>(ParseAddress(std::to_string(port_)), *counters_, Subject{});
    thread_ = std::thread([this] { server_->Run(stop_.get()); });
  }
  ~Serving() override {
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }

  util::UniqueFd Connect(std::string_view words = {}) const {
    util::UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = Loopback(port_);
    const auto* const any = reinterpret_cast<const sockaddr*>(&address);
    EXPECT_EQ(connect(client.get(), any, sizeof(address)), 0);
    Say(client, words);
    return client;
  }

  static void Say(const util::UniqueFd& client, std::string_view words) {
    EXPECT_EQ(send(client.get(), words.data(), words.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(words.size()));
  }

  // All that is answered.
  static std::string Hear(const util::UniqueFd& client) {
    std::string text;
    std::array<char, 4096> part{};
    for (ssize_t got = 0; (got = recv(client.get(), part.data(), part.size(), 0)) > 0;) {
      text.append(part.data(), static_cast<size_t>(got));
    }
    return text;
  }

  std::string Ask(std::string_view words) const { return Hear(Connect(words)); }

  static constexpr std::string_view kQuestion = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

  const std::unique_ptr<handover::Counters> counters_ = std::make_unique<handover::Counters>();
  const util::UniqueFd stop_{eventfd(0, EFD_CLOEXEC)};
  uint16_t port_ = 0;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

TEST_F(Serving, Metrics) {
  const auto answer = Ask(kQuestion);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  const auto text = answer.substr(answer.find("\r\n\r\n") + 4);
  EXPECT_THAT(text, StartsWith("# HELP skopsfs_info "));
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Length: " + std::to_string(text.size()) + "\r\n"));
  const auto head = Ask("HEAD /metrics?x=y HTTP/1.0\r\n\r\n");
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(head, EndsWith("\r\n\r\n"));
}

TEST_F(Serving, NothingElse) {
  for (const auto& [request, status] : std::vector<std::pair<std::string_view, std::string>>{
           {"GET / HTTP/1.1", "404 Not Found"},
           {"GET /metrics/ HTTP/1.1", "404 Not Found"},
           {"GET http://x/metrics HTTP/1.1", "404 Not Found"},
           {"POST /metrics HTTP/1.1", "405 Method Not Allowed"},
           {"get /metrics HTTP/1.1", "405 Method Not Allowed"},
           {"GET /metrics", "400 Bad Request"},
           {"GET", "400 Bad Request"},
           {"", "400 Bad Request"},
           {"GET  /metrics HTTP/1.1", "400 Bad Request"},
           {"GET /metrics HTTP/2", "400 Bad Request"},
           {"\x16\x03\x01", "400 Bad Request"}}) {
    EXPECT_THAT(Ask(std::string(request) + "\r\n\r\n"), StartsWith("HTTP/1.1 " + status))
        << request;
  }
}

TEST_F(Serving, ARequestMayComeInPieces) {
  const auto client = Connect();
  for (const char letter : kQuestion) Say(client, {&letter, 1});
  EXPECT_THAT(Hear(client), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(Serving, ARequestWithoutEndIsClosed) {
  const auto client = Connect("GET /metrics HTTP/1.1\r\nX: " + std::string(100'000, 'x'));
  EXPECT_EQ(Hear(client), "");
}

// Three times as many as it takes, of each kind.
TEST_F(Serving, NobodyKeepsOthersWaiting) {
  std::vector<util::UniqueFd> clients;
  for (const auto words : {std::string_view(), kQuestion.substr(0, 30), kQuestion}) {
    for (size_t i = 0; i < HttpServer::kMostConnections; ++i) clients.push_back(Connect(words));
    EXPECT_THAT(Ask(kQuestion), StartsWith("HTTP/1.1 200 OK\r\n"));
  }
}

TEST_F(Serving, WhoLeavesEarlyDoesNoHarm) {
  for (int i = 0; i < 100; ++i) {
    Connect(kQuestion.substr(0, 30));
    Connect(kQuestion);
  }
  EXPECT_THAT(Ask(kQuestion), StartsWith("HTTP/1.1 200 OK\r\n"));
}

}  // namespace
}  // namespace skopsfs::metrics
