#pragma once

#include <cstdint>
#include <memory>

#include "fs/node_id.h"
#include "fuse/callbacks.h"

namespace skopsfs::fuse {

// Has libfuse hand a request of the kernel to its callback. Where it has no memory for that, it
// answers by itself that there is none. But what the kernel lets go of it asks for once, so that is
// let go of here, whatever memory there is.
void Dispatch(CallbackContext& context, fuse_session* session, const fuse_buf& request) noexcept;

// To be called by the callbacks that release what was open.
void NoteRelease();

// Give back what an open file or directory held, and say of which slot it was; nullptr where that
// is gone, and for a file of .skopsfs.
std::shared_ptr<catalog::Slot> LetGoOfFile(CallbackContext& context, fs::NodeId node,
                                           uint64_t handle) noexcept;
std::shared_ptr<catalog::Slot> LetGoOfDirectory(CallbackContext& context, fs::NodeId node,
                                                uint64_t handle) noexcept;

}  // namespace skopsfs::fuse
