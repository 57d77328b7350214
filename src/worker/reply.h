#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <exception>
#include <new>
#include <system_error>

#include "util/error.h"
#include "util/libfuse.h"
#include "util/log.h"
#include "worker/current_request.h"

namespace skopsfs::worker {

// Whether the kernel has taken an answer, by the result of a fuse_reply function. If not, nobody
// waits for the answer any more. A request whose answer the kernel refuses would hang. So this
// process then ends, and the kernel asks its successor.
inline bool IsTaken(int result) {
  if (result == 0) return true;
  if (result == -ENOENT) return false;
  try {
    util::LogError("an answer did not reach the kernel: {}; the worker exits",
                   std::generic_category().message(-result));
  } catch (const std::exception&) {
    // No memory to say so.
  }
  _exit(EXIT_FAILURE);
}

// The errno to answer. ENOTCONN tells users, and the next start, that the server of a mount is
// gone. When the source is such a mount, ours is not.
inline int AnswerFor(int code) { return code == ENOTCONN || code == ECONNABORTED ? EIO : code; }

// Runs the body of one callback. The body replies when all is well. What it throws becomes the
// error reply. So nothing escapes into C, and no request stays unanswered. `operation` is its name
// for the log.
template <typename Body>
void Answer(fuse_req_t request, const char* operation, const Body& body) noexcept {
  int code = EIO;
  try {
    body();
    return;
  } catch (const util::Error& error) {
    code = AnswerFor(error.code());
  } catch (const std::bad_alloc&) {
    code = ENOMEM;
    util::LogError("{}: out of memory", operation);
  } catch (const std::exception& error) {
    util::LogError("{}: unexpected failure: {}", operation, error.what());
  }
  CountFailure(code);
  IsTaken(fuse_reply_err(request, code));
}

}  // namespace skopsfs::worker
