#pragma once

// The one place that says which libfuse API is used.
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <string>

namespace skopsfs::util {

// Takes what libfuse said last. When something has failed, that is the reason. Thread-safe.
std::string TakeLastMessage();

// From now on what libfuse says goes to the log, or is kept for TakeLastMessage(). What it says for
// debugging goes to stderr. Thread-safe.
void TakeMessages(bool to_log);

// Owns an argument list of libfuse. Not thread-safe.
class Arguments {
 public:
  Arguments() { fuse_opt_add_arg(&list_, "skopsfs"); }
  ~Arguments() { fuse_opt_free_args(&list_); }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  void Option(const std::string& option) {
    fuse_opt_add_arg(&list_, "-o");
    fuse_opt_add_arg(&list_, option.c_str());
  }
  fuse_args* get() { return &list_; }

 private:
  fuse_args list_ = FUSE_ARGS_INIT(0, nullptr);
};

}  // namespace skopsfs::util
