#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

namespace skopsfs::util {

// The one type of failure: an errno that fits, and a sentence for the log. Absence is never an
// Error; it is nullptr or an empty optional. An Error is caught only where a request is answered,
// or where the catalogue records why an archive cannot be shown.
class Error : public std::runtime_error {
 public:
  Error(int code, const std::string& message) : std::runtime_error(message), code_(code) {}

  int code() const noexcept { return code_; }

 private:
  int code_;
};

// The Error of a failed system call: "<what>: <text of errno>".
inline Error ErrnoError(const std::string& what, int code = errno) {
  return Error(code, what + ": " + std::generic_category().message(code));
}

}  // namespace skopsfs::util
