#pragma once

#include <exception>
#include <new>

#include "catalog/catalog.h"
#include "fuse/libfuse.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::fuse {

// Runs the body of one callback. It replies itself when all is well; whatever it throws becomes the
// error reply, so nothing escapes into C and no request stays unanswered. `operation` is its name
// for the log.
template <typename Body>
void Answer(fuse_req_t request, const char* operation, const Body& body) noexcept {
  int code = EIO;
  try {
    body();
    return;
  } catch (const util::Error& error) {
    code = error.code();
  } catch (const std::bad_alloc&) {
    code = ENOMEM;
    util::LogError("{}: out of memory", operation);
  } catch (const std::exception& error) {
    util::LogError("{}: unexpected failure: {}", operation, error.what());
  }
  fuse_reply_err(request, code);
}

// Answers the release of a handle of `slot`, if that is known, and only then counts it: when this
// process dies before, the kernel asks the next one.
inline void ReplyRelease(fuse_req_t request, catalog::Slot* slot) {
  fuse_reply_err(request, 0);
  if (slot != nullptr) catalog::Catalog::DropHandle(*slot);
}

}  // namespace skopsfs::fuse
