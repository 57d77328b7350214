#pragma once

#include "fuse/callbacks.h"

namespace skopsfs::fuse {

// Has libfuse hand a request of the kernel to its callback. Where it has no memory for that, it
// answers by itself that there is none. But what the kernel lets go of it asks for once, so that is
// let go of here, whatever memory there is.
void Dispatch(CallbackContext& context, fuse_session* session, const fuse_buf& request) noexcept;

}  // namespace skopsfs::fuse
