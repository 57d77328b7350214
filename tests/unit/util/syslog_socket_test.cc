#include "util/syslog_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "support/temp_folder.h"

namespace skopsfs::util {
namespace {

using ::testing::EndsWith;
using ::testing::MatchesRegex;

// Receives what is sent to `path`.
class Receiver {
 public:
  Receiver(const std::string& path, int type) : socket_(socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) {
    std::filesystem::remove(path);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const auto* const at = reinterpret_cast<const sockaddr*>(&address);
    EXPECT_EQ(bind(socket_.get(), at, sizeof(address)), 0);
    if (type == SOCK_STREAM) {
      EXPECT_EQ(listen(socket_.get(), 1), 0);
    }
  }

  std::string Take() const { return TakeFrom(socket_.get()); }
  std::string TakeFirst() const {  // of a stream
    const UniqueFd connected(accept(socket_.get(), nullptr, nullptr));
    return TakeFrom(connected.get());
  }

 private:
  static std::string TakeFrom(int fd) {
    std::string text(10'000, '\0');
    const auto got = recv(fd, text.data(), text.size(), MSG_DONTWAIT);
    text.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return text;
  }

  UniqueFd socket_;
};

class SyslogSocketTest : public ::testing::Test {
 protected:
  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "log";
};

TEST_F(SyslogSocketTest, LinesAsSyslogHasThem) {
  const Receiver receiver(path_, SOCK_DGRAM);
  SyslogSocket log("program", path_);
  EXPECT_TRUE(log.Send(LogLevel::kError, "a line"));
  const std::string pid = std::to_string(getpid());
  EXPECT_THAT(receiver.Take(),
              MatchesRegex("<27>... .. ..:..:.. program\\[" + pid + "\\]: a line"));
  EXPECT_TRUE(log.Send(LogLevel::kInfo, "another one"));
  EXPECT_THAT(receiver.Take(), MatchesRegex("<30>.*: another one"));
}

TEST_F(SyslogSocketTest, RecordsOfAStreamEndInZero) {
  const Receiver receiver(path_, SOCK_STREAM);
  SyslogSocket log("program", path_);
  EXPECT_TRUE(log.Send(LogLevel::kWarning, "a line"));
  EXPECT_THAT(receiver.TakeFirst(), EndsWith(std::string(": a line\0", 9)));
}

TEST_F(SyslogSocketTest, WaitsForNobody) {
  for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
    const Receiver receiver(path_, type);
    SyslogSocket log("program", path_);
    int taken = 0;
    while (log.Send(LogLevel::kInfo, std::string(1000, 'x'))) ++taken;
    EXPECT_GT(taken, 0);
    EXPECT_FALSE(log.Send(LogLevel::kInfo, "no room"));
  }
}

TEST_F(SyslogSocketTest, ReceiverThatComesLaterOrAgain) {
  SyslogSocket log("program", path_);
  EXPECT_FALSE(log.Send(LogLevel::kInfo, "to nobody"));
  for (const int type : {SOCK_DGRAM, SOCK_DGRAM, SOCK_STREAM}) {
    {
      const Receiver receiver(path_, type);
      EXPECT_TRUE(log.Send(LogLevel::kInfo, "again"));
      EXPECT_THAT(type == SOCK_STREAM ? receiver.TakeFirst() : receiver.Take(),
                  ::testing::HasSubstr(": again"));
    }
    EXPECT_FALSE(log.Send(LogLevel::kInfo, "to nobody"));
  }
}

TEST_F(SyslogSocketTest, PathThatIsTooLong) {
  SyslogSocket log("program", "/" + std::string(200, 'x'));
  EXPECT_FALSE(log.Send(LogLevel::kInfo, "to nobody"));
}

}  // namespace
}  // namespace skopsfs::util
