#pragma once

// The one place that says which libfuse API is used.
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <string>

namespace skopsfs::util {

// What libfuse said last, which is the reason when something fails; and forgets it.
std::string TakeLastMessage();

// From now on what libfuse has to say goes there, or to the log; or to stderr when it is about
// debugging.
void TakeMessages(bool to_log);

// libfuse's argument list.
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
