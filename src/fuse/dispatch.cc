#include "fuse/dispatch.h"

#include <linux/fuse.h>

#include <cstring>
#include <span>

namespace skopsfs::fuse {
namespace {

using fs::NodeId;

// The structure of the protocol that begins at `offset` of a request; zeros where it is too short.
template <typename T>
T PartOf(std::span<const std::byte> request, size_t offset) {
  T part{};
  if (request.size() >= offset + sizeof(T)) {
    std::memcpy(&part, request.data() + offset, sizeof(T));
  }
  return part;
}

void ForgetMany(fs::FileSystem& file_system, std::span<const std::byte> request) {
  size_t at = sizeof(fuse_in_header);
  const auto batch = PartOf<fuse_batch_forget_in>(request, at);
  at += sizeof(batch);
  for (uint32_t i = 0; i < batch.count; ++i, at += sizeof(fuse_forget_one)) {
    const auto one = PartOf<fuse_forget_one>(request, at);
    file_system.Forget(NodeId::From(one.nodeid), one.nlookup);
  }
}

}  // namespace

void Dispatch(CallbackContext& context, fuse_session* session, const fuse_buf& buffer) noexcept {
  const std::span request(static_cast<const std::byte*>(buffer.mem), buffer.size);
  const auto header = PartOf<fuse_in_header>(request, 0);
  switch (header.opcode) {
    case FUSE_FORGET:
      return context.file_system.Forget(NodeId::From(header.nodeid),
                                        PartOf<fuse_forget_in>(request, sizeof(header)).nlookup);
    case FUSE_BATCH_FORGET:
      return ForgetMany(context.file_system, request);
    default:
      break;
  }
  fuse_session_process_buf(session, &buffer);
}

}  // namespace skopsfs::fuse
