#pragma once

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "util/libfuse.h"

namespace skopsfs::testing {

// The bytes of a structure of the protocol.
template <typename T>
std::string BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

// The kernel's side of a FUSE connection, with a session of libfuse on the other side and no mount:
// sends requests in the kernel's format and takes the replies. One at a time, on one thread.
class FakeKernel {
 public:
  struct Reply {
    bool answered = false;
    int error = 0;  // as an errno
    std::string body;

    // The body as a structure of the protocol.
    template <typename T>
    T As(size_t offset = 0) const {
      T value{};
      if (body.size() < offset + sizeof(T)) throw std::out_of_range("a reply that is too short");
      std::memcpy(&value, body.data() + offset, sizeof(T));
      return value;
    }
  };

  // How a request gets to the session: by `dispatch`, or straight to it.
  using Dispatch = std::function<void(fuse_session*, const fuse_buf&)>;

  FakeKernel(const fuse_lowlevel_ops& operations, void* context, Dispatch dispatch = {})
      : dispatch_(std::move(dispatch)) {
    fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
    fuse_opt_add_arg(&arguments, "skopsfs");
    session_ = fuse_session_new(&arguments, &operations, sizeof(operations), context);
    fuse_opt_free_args(&arguments);
    fuse_custom_io io{};
    io.writev = TakeReply;
    io.read = [](int, void*, size_t, void*) -> ssize_t { return 0; };
    const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);  // the session closes it
    if (session_ == nullptr || fuse_session_custom_io(session_, &io, fd) != 0) {
      throw std::runtime_error("a session of libfuse");
    }
    current_ = this;
  }
  ~FakeKernel() {
    fuse_session_destroy(session_);
    current_ = nullptr;
  }
  FakeKernel(const FakeKernel&) = delete;
  FakeKernel& operator=(const FakeKernel&) = delete;

  // The first request of every connection.
  Reply Init() {
    fuse_init_in in{};
    in.major = FUSE_KERNEL_VERSION;
    in.minor = 31;
    in.max_readahead = 1 << 20;
    in.flags = FUSE_ASYNC_READ | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |
               FUSE_READDIRPLUS_AUTO | FUSE_EXPORT_SUPPORT | FUSE_SPLICE_READ | FUSE_SPLICE_WRITE |
               FUSE_SPLICE_MOVE | FUSE_WRITEBACK_CACHE | FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS;
    return Call(FUSE_INIT, 0, BytesOf(in));
  }

  Reply Call(uint32_t operation, uint64_t node, const std::string& arguments = "") {
    fuse_in_header header{};
    header.len = static_cast<uint32_t>(sizeof(header) + arguments.size());
    header.opcode = operation;
    header.unique = ++unique_;
    header.nodeid = node;
    std::string request = BytesOf(header) + arguments;
    reply_ = {};
    fuse_buf buffer{};
    buffer.mem = request.data();
    buffer.size = request.size();
    if (dispatch_) {
      dispatch_(session_, buffer);
    } else {
      fuse_session_process_buf(session_, &buffer);
    }
    return reply_;
  }

  // From now on whoever asks has gone before the reply comes.
  void NobodyWaits(bool gone) { gone_ = gone; }

 private:
  static ssize_t TakeReply(int, iovec* pieces, int count, void*) {
    std::string bytes;
    for (int i = 0; i < count; ++i) {
      bytes.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    }
    if (current_->gone_) {
      errno = ENOENT;
      return -1;
    }
    fuse_out_header header{};
    std::memcpy(&header, bytes.data(), sizeof(header));
    current_->reply_ = {true, -header.error, bytes.substr(sizeof(header))};
    return static_cast<ssize_t>(bytes.size());
  }

  // libfuse hands TakeReply() the context of the callbacks and nothing of ours.
  static inline FakeKernel* current_ = nullptr;

  const Dispatch dispatch_;
  fuse_session* session_ = nullptr;
  uint64_t unique_ = 0;
  bool gone_ = false;
  Reply reply_;
};

}  // namespace skopsfs::testing
