#include "metrics/http_server.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string>

#include "support/errors.h"
#include "util/unique_fd.h"

namespace skopsfs::metrics {
namespace {

TEST(ParseAddress, APortAloneIsOnLoopback) {
  EXPECT_EQ(ParseAddress("9400").ForPeople(), "127.0.0.1:9400");
}

TEST(ParseAddress, HostsAreNumbers) {
  EXPECT_EQ(ParseAddress("0.0.0.0:1").ForPeople(), "0.0.0.0:1");
  EXPECT_EQ(ParseAddress("localhost:65535").ForPeople(), "127.0.0.1:65535");
  EXPECT_EQ(ParseAddress("127.0.0.1:0080").ForPeople(), "127.0.0.1:80");
}

TEST(ParseAddress, EverythingElseIsRefused) {
  for (const char* text :
       {"", ":", ":9400", "9400:", "0", "65536", "-1", "9400x", "host:1", "::1:9400", "[::1]:9400",
        "0:9400", "127.1:9400", "[]:1", "127.0.0.1:0", "1.2.3:4:5", "999.0.0.1:80"}) {
    EXPECT_THROW(ParseAddress(text), std::invalid_argument) << text;
  }
}

TEST(HttpServer, SaysWhyItCannotListen) {
  const util::UniqueFd other(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(bind(other.get(), any, size), 0);
  ASSERT_EQ(listen(other.get(), 1), 0);
  ASSERT_EQ(getsockname(other.get(), any, &size), 0);
  const auto taken = ParseAddress(std::to_string(ntohs(address.sin_port)));
  const auto counters = std::make_unique<Counters>();
  EXPECT_EQ(testing::ErrnoOf([&] { HttpServer(taken, *counters, {}); }), EADDRINUSE);
}

}  // namespace
}  // namespace skopsfs::metrics
