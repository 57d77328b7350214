#include "fuse/dispatch.h"

#include <linux/fuse.h>

#include <cstring>
#include <span>

namespace skopsfs::fuse {
namespace {

using fs::NodeId;

thread_local bool release_was_called = false;

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

// Of an open file or directory that libfuse has not handed on.
void Release(CallbackContext& context, const fuse_in_header& header,
             std::span<const std::byte> request) {
  const auto handle = PartOf<fuse_release_in>(request, sizeof(header)).fh;
  const auto node = NodeId::From(header.nodeid);
  const auto slot = header.opcode == FUSE_RELEASE ? LetGoOfFile(context, node, handle)
                                                  : LetGoOfDirectory(context, node, handle);
  if (slot) catalog::Catalog::DropHandle(*slot);
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
  release_was_called = false;
  fuse_session_process_buf(session, &buffer);
  const bool releases = header.opcode == FUSE_RELEASE || header.opcode == FUSE_RELEASEDIR;
  if (releases && !release_was_called) Release(context, header, request);
}

void NoteRelease() { release_was_called = true; }

std::shared_ptr<catalog::Slot> LetGoOfFile(CallbackContext& context, NodeId node,
                                           uint64_t number) noexcept {
  if (node.is_status()) {
    if (context.status_files.Take(number)) --context.open_status_files;
    return nullptr;
  }
  const auto handle = context.files.Take(number);
  return handle ? handle->slot : context.file_system.catalog().Get(node.slot);
}

std::shared_ptr<catalog::Slot> LetGoOfDirectory(CallbackContext& context, NodeId node,
                                                uint64_t number) noexcept {
  auto& directories = context.directories;
  // One that was made again for the root of a single archive may be of another version.
  const bool is_own = directories.IsOwn(number);
  const auto handle = directories.Take(number);
  return is_own ? handle->slot : context.file_system.catalog().Get(node.slot);
}

}  // namespace skopsfs::fuse
