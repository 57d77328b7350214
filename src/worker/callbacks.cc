#include "worker/callbacks.h"

#include <fcntl.h>
#include <linux/fuse.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <new>
#include <optional>
#include <span>
#include <string>

#include "handover/session_state.h"
#include "util/effort.h"
#include "util/thread_memory.h"
#include "worker/current_request.h"
#include "worker/reply.h"

namespace skopsfs::worker {
namespace {

using handover::NodeId;

constexpr unsigned kMostReadAhead = 1U << 30;  // bytes; as far as the supervisor has set it
constexpr unsigned kMaxBackground = 128;  // requests; the default of 12 starves storms of mmaps

CallbackContext& Context(fuse_req_t request) {
  return *static_cast<CallbackContext*>(fuse_req_userdata(request));
}

fs::FileSystem& FileSystemOf(fuse_req_t request) { return Context(request).file_system; }

// A buffer of the calling thread, for one reply.
std::span<std::byte> ThreadBuffer(size_t size) {
  static const util::ThreadMemory of_thread(ReadBuffers::kMost);
  std::byte* const memory = of_thread.Get();
  if (memory == nullptr) throw std::bad_alloc();
  return {memory, std::min(size, ReadBuffers::kMost)};
}

fuse_entry_param EntryParam(const fs::Entry& entry) {
  fuse_entry_param param{};
  param.ino = entry.node.number();
  param.attr = entry.attributes;
  param.entry_timeout = entry.entry_timeout;
  param.attr_timeout = entry.attribute_timeout;
  return param;
}

void Init(void* context, fuse_conn_info* connection) {
  auto& ours = *static_cast<CallbackContext*>(context);
  ours.is_initialized = true;
  // To the kernel this means default_permissions too, and that is what it is for.
  if (ours.checks_permissions) {
    connection->want |= connection->capable & FUSE_CAP_POSIX_ACL;
  }
  connection->want |= connection->capable & FUSE_CAP_CACHE_SYMLINKS;
  connection->max_write = std::min(connection->max_write, kMostWrite);
  connection->max_readahead = kMostReadAhead;
  connection->max_background = kMaxBackground;
  connection->congestion_threshold = kMaxBackground * 3 / 4;
  // A node belongs to one version: its pages never need to be dropped for a newer time or size.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_AUTO_INVAL_DATA);
  // Files are opened with no message, so a truncation needs one of its own to be refused.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_ATOMIC_O_TRUNC);
  // Replies come from memory, where a short read has been seen before it could become zeros.
  connection->want &=
      ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

// Answers a request with what `body` does: now, or where that is too much of an effort for the
// calling thread, from the beginning in the slow lane. `body` is copied then.
template <typename Body>
void AnswerInTurn(fuse_req_t request, const char* operation, const Body& body,
                  util::Effort most = util::Effort::kLittle) {
  Answer(request, operation, [&] {
    std::optional<util::TooMuchEffort> more;
    try {
      const util::EffortLimit limit(most);
      return body();
    } catch (const util::TooMuchEffort& effort) {
      more = effort;
    }
    Context(request).slow_lane.Run(*more, CurrentRequest::HandOn(),
                                   [=] { AnswerInTurn(request, operation, body, more->effort); });
  });
}

// The same for a request with a name, which is libfuse's, and copied before all else.
template <typename Body>
void AnswerNamed(fuse_req_t request, const char* operation, const char* name, const Body& body) {
  Answer(request, operation,
         [&] { AnswerInTurn(request, operation, [=, name = std::string(name)] { body(name); }); });
}

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* called) {
  AnswerNamed(request, "lookup", called, [=](const std::string& name) {
    auto& file_system = FileSystemOf(request);
    const auto directory = NodeId::From(parent);
    const auto entry = file_system.Lookup(directory, name);
    fuse_entry_param param{};
    if (entry) {
      param = EntryParam(*entry);
    } else {
      param.entry_timeout = file_system.NegativeTimeout(directory);
    }
    if (!IsTaken(fuse_reply_entry(request, &param)) && entry) file_system.Forget(entry->node, 1);
  });
}

void GetAttr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  AnswerInTurn(request, "getattr", [=] {
    const auto attributes = FileSystemOf(request).GetAttributes(NodeId::From(node));
    IsTaken(fuse_reply_attr(request, &attributes.attributes, attributes.timeout));
  });
}

void ReadLink(fuse_req_t request, fuse_ino_t node) {
  AnswerInTurn(request, "readlink", [=] {
    const auto target = FileSystemOf(request).ReadLink(NodeId::From(node));
    IsTaken(fuse_reply_readlink(request, target.c_str()));
  });
}

// The kernel that is told once that there is no such call never asks again: from then on files are
// opened without a message, and keep what is in their page cache.
void Open(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  Answer(request, "open", [&] {
    const bool writes = (info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_TRUNC) != 0;
    if (writes) throw util::Error(EROFS, "read-only");
    if (!Context(request).is_asked_of_each_open) {
      IsTaken(fuse_reply_err(request, ENOSYS));
      return;
    }
    info->keep_cache = 1;
    info->noflush = 1;
    IsTaken(fuse_reply_open(request, info));
  });
}

void ReadStatus(fuse_req_t request, NodeId node, size_t size, uint64_t offset) {
  const auto status = FileSystemOf(request).StatusTextOf(node);
  const auto part = std::string_view(status->text).substr(std::min(offset, status->text.size()));
  IsTaken(fuse_reply_buf(request, part.data(), std::min(size, part.size())));
}

void Read(fuse_req_t request, fuse_ino_t number, size_t size, off_t start, fuse_file_info*) {
  AnswerInTurn(request, "read", [=] {
    constexpr size_t kSmall = size_t{64} << 10;
    const auto offset = static_cast<uint64_t>(start);
    const auto node = NodeId::From(number);
    if (node.is_status()) return ReadStatus(request, node, size, offset);
    if (size > ReadBuffers::kMost) throw util::Error(EINVAL, "a read of more than was agreed upon");
    auto& file_system = FileSystemOf(request);
    const auto member = file_system.MemberOf(node);
    const auto& reader = *member.reader;
    std::optional<ReadBuffers::Buffer> large;
    // What takes long does not keep one that others share.
    const bool is_quick = !util::IsWithinLimit(util::Effort::kDecode);
    if (is_quick && size > kSmall) large.emplace(Context(request).read_buffers);
    const auto buffer = large ? large->At(reader.OffsetInFile(offset), size) : ThreadBuffer(size);
    const auto bytes = buffer.first(file_system.Read(member, offset, buffer));
    file_system.counters().Served(reader.kind(), bytes.size());
    IsTaken(fuse_reply_buf(request, reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  });
}

void OpenDir(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  AnswerInTurn(request, "opendir", [=, asked = *info] {
    fuse_file_info answer = asked;
    const bool constant = FileSystemOf(request).OpenDirectory(NodeId::From(node));
    answer.cache_readdir = constant;
    answer.keep_cache = constant;
    IsTaken(fuse_reply_open(request, &answer));
  });
}

// Appends one entry to a reply of `size` bytes; false when it does not fit.
bool AppendEntry(fuse_req_t request, std::span<char> buffer, size_t& used, bool plus,
                 const fs::DirectoryEntry& item) {
  std::array<char, NAME_MAX + 1> name{};  // must not throw
  item.name.copy(name.data(), NAME_MAX);
  const auto rest = buffer.subspan(used);
  size_t needed = 0;
  if (plus) {
    auto param = EntryParam(item.entry);
    // The kernel takes no reference to these two, and asks for no attributes of node 0.
    if (item.name == "." || item.name == ".." || !item.is_known) param.ino = 0;
    needed = fuse_add_direntry_plus(request, rest.data(), rest.size(), name.data(), &param,
                                    static_cast<off_t>(item.next));
  } else {
    needed = fuse_add_direntry(request, rest.data(), rest.size(), name.data(),
                               &item.entry.attributes, static_cast<off_t>(item.next));
  }
  if (needed > rest.size()) return false;
  used += needed;
  return true;
}

template <bool plus>
void ReadDir(fuse_req_t request, fuse_ino_t node, size_t size, off_t position, fuse_file_info*) {
  AnswerInTurn(request, "readdir", [=] {
    const auto bytes = ThreadBuffer(size);
    const std::span buffer(reinterpret_cast<char*>(bytes.data()), bytes.size());
    size_t used = 0;
    FileSystemOf(request).ReadDirectory(
        NodeId::From(node), static_cast<uint64_t>(position), plus,
        [&](const auto& item) { return AppendEntry(request, buffer, used, plus, item); });
    IsTaken(fuse_reply_buf(request, buffer.data(), used));
  });
}

void StatFs(fuse_req_t request, fuse_ino_t) {
  Answer(request, "statfs", [&] {
    const auto st = FileSystemOf(request).StatFs();
    IsTaken(fuse_reply_statfs(request, &st));
  });
}

// Replies with a value of any size, the way getxattr and listxattr want it.
void ReplyXattr(fuse_req_t request, const std::string& value, size_t size) {
  if (size == 0) {
    IsTaken(fuse_reply_xattr(request, value.size()));
  } else if (value.size() > size) {
    IsTaken(fuse_reply_err(request, ERANGE));
  } else {
    IsTaken(fuse_reply_buf(request, value.data(), value.size()));
  }
}

void GetXattr(fuse_req_t request, fuse_ino_t node, const char* called, size_t size) {
  AnswerNamed(request, "getxattr", called, [=](const std::string& name) {
    const auto value = FileSystemOf(request).GetXattr(NodeId::From(node), name);
    if (value) return ReplyXattr(request, *value, size);
    IsTaken(fuse_reply_err(request, ENODATA));  // an answer rather than a failure
  });
}

void ListXattr(fuse_req_t request, fuse_ino_t node, size_t size) {
  AnswerInTurn(request, "listxattr", [=] {
    std::string names;
    for (const auto& name : FileSystemOf(request).ListXattr(NodeId::From(node))) {
      names += name + '\0';
    }
    ReplyXattr(request, names, size);
  });
}

template <int code>
constexpr auto kAnswerWith =
    [](fuse_req_t request, auto...) { IsTaken(fuse_reply_err(request, code)); };

// The mount is read-only, so the kernel answers these itself, unless somebody remounts it.
constexpr auto kRefuse = kAnswerWith<EROFS>;

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

fuse_lowlevel_ops Callbacks() {
  fuse_lowlevel_ops ops{};
  ops.init = Init;
  ops.lookup = Lookup;
  ops.getattr = GetAttr;
  ops.readlink = ReadLink;
  ops.open = Open;
  ops.read = Read;
  ops.opendir = OpenDir;
  ops.readdir = ReadDir<false>;
  ops.readdirplus = ReadDir<true>;
  ops.statfs = StatFs;
  ops.getxattr = GetXattr;
  ops.listxattr = ListXattr;
  // libfuse would answer these itself, but not notice that an answer is not taken.
  ops.flush = kAnswerWith<ENOSYS>;
  ops.release = kAnswerWith<0>;
  ops.releasedir = kAnswerWith<0>;
  ops.setattr = kRefuse;
  ops.mknod = kRefuse;
  ops.mkdir = kRefuse;
  ops.unlink = kRefuse;
  ops.rmdir = kRefuse;
  ops.symlink = kRefuse;
  ops.rename = kRefuse;
  ops.link = kRefuse;
  ops.create = kRefuse;
  ops.write = kRefuse;
  ops.setxattr = kRefuse;
  ops.removexattr = kRefuse;
  ops.fallocate = kRefuse;
  return ops;
}

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

}  // namespace skopsfs::worker
