#include "handover/session_state.h"

#include <linux/fuse.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "util/log.h"

namespace skopsfs::handover {
namespace {

// Since Linux 6.9; not in the headers of Debian 12.
constexpr uint64_t kHasResend = uint64_t{1} << 39;

struct InitRequest {
  fuse_in_header header;
  fuse_init_in init;
};

// All zeros for anything else.
InitRequest InitOf(std::span<const std::byte> bytes) {
  InitRequest request{};
  if (bytes.size() >= sizeof(request)) std::memcpy(&request, bytes.data(), sizeof(request));
  return request.header.len >= sizeof(request) ? request : InitRequest{};
}

}  // namespace

Operation OperationOf(uint32_t operation) {
  using enum Operation;
  constexpr std::array<std::pair<uint32_t, Operation>, 15> kKnown = {
      {{FUSE_LOOKUP, kLookup},
       {FUSE_GETATTR, kGetattr},
       {FUSE_READLINK, kReadlink},
       {FUSE_OPEN, kOpen},
       {FUSE_READ, kRead},
       {FUSE_RELEASE, kRelease},
       {FUSE_OPENDIR, kOpendir},
       {FUSE_READDIR, kReaddir},
       {FUSE_READDIRPLUS, kReaddir},
       {FUSE_RELEASEDIR, kReleasedir},
       {FUSE_STATFS, kStatfs},
       {FUSE_GETXATTR, kGetxattr},
       {FUSE_LISTXATTR, kListxattr},
       {FUSE_FORGET, kForget},
       {FUSE_BATCH_FORGET, kForget}}};
  const auto found = std::ranges::find(kKnown, operation, &std::pair<uint32_t, Operation>::first);
  return found != kKnown.end() ? found->second : kOther;
}

const char* NameOfOperation(uint32_t operation) {
  return operation == 0 ? "housekeeping" : NameOf(OperationOf(operation));
}

util::UniqueFd SessionState::MakeMemory() {
  return util::MakeSharedMemory("skopsfs-session", sizeof(Memory));
}

SessionState::SessionState(const util::UniqueFd& memory)
    : mapping_(memory, sizeof(Memory), "the session", util::SharedMapping::Access::kWrite),
      memory_(static_cast<Memory*>(mapping_.get())) {
  if (memory_->magic == 0) memory_->magic = kMagic;
  const uint64_t init_size = memory_->init_size;
  mapping_.Check(memory_->magic == kMagic && init_size <= kMostInit &&
                 (init_size == 0 || init_size >= sizeof(fuse_in_header)));
}

std::span<const std::byte> SessionState::init() const {
  return std::span(memory_->init).first(memory_->init_size);
}

void SessionState::SaveInit(std::span<const std::byte> request) {
  if (request.size() > kMostInit) return;  // then a successor cannot go on, and says so
  std::copy(request.begin(), request.end(), memory_->init.begin());
  memory_->init_size = request.size();
}

int64_t SessionState::OldestRequest() const {
  int64_t oldest = INT64_MAX;
  for (const auto& request : memory_->requests) {
    if (request.unique != 0) oldest = std::min(oldest, request.asked.load());
  }
  return oldest;
}

void SessionState::ForgetRequests(int memory) {
  constexpr std::array<std::byte, sizeof(Requests)> kNone{};
  if (pwrite(memory, kNone.data(), kNone.size(), offsetof(Memory, requests)) < 0) {
    util::LogError("clearing the memory for the session: {}", strerrordesc_np(errno));
  }
}

bool SessionState::Read(int memory, Requests& requests) {
  return pread(memory, static_cast<void*>(requests.data()), sizeof(requests),
               offsetof(Memory, requests)) == sizeof(requests);
}

std::vector<RequestSeen> SessionState::ReadRequests(int memory) {
  Requests requests{};
  if (!Read(memory, requests)) {
    util::LogError("reading the memory for the session: {}", strerrordesc_np(errno));
    return {};
  }
  std::vector<RequestSeen> found;
  for (const auto& request : requests) {
    if (request.unique == 0) continue;
    found.push_back({.unique = request.unique,
                     .node = request.node,
                     .since = request.since,
                     .operation = request.operation,
                     .crashed = request.crashed,
                     .asked = request.asked,
                     .is_queued = &request == &requests.back(),
                     .got_on = request.progress.got_on,
                     .waits_for = static_cast<util::WaitsFor>(request.progress.waits_for.load())});
  }
  return found;
}

uint64_t SessionState::RequestsBegun(int memory) {
  Requests requests{};
  uint64_t sum = 0;
  if (Read(memory, requests)) {
    for (const auto& request : requests) sum += request.begun;
  }
  return sum;
}

bool SessionState::HasInit(int memory) {
  uint64_t size = 0;
  return pread(memory, &size, sizeof(size), offsetof(Memory, init_size)) == sizeof(size) &&
         size > 0;
}

bool SessionState::KernelResends(int memory) {
  std::array<std::byte, kMostInit> init{};
  const ssize_t got = pread(memory, init.data(), init.size(), offsetof(Memory, init));
  return got == static_cast<ssize_t>(init.size()) && OffersResend(init);
}

bool SessionState::OffersResend(std::span<const std::byte> init) {
  const auto request = InitOf(init);
  const uint64_t flags = request.init.flags | uint64_t{request.init.flags2} << 32;
  return (flags & FUSE_INIT_EXT) != 0 && (flags & kHasResend) != 0;
}

bool SessionState::OffersPrune(std::span<const std::byte> init) {
  constexpr uint32_t kMinor = 45;  // of protocol 7
  const auto request = InitOf(init);
  return request.init.major == FUSE_KERNEL_VERSION && request.init.minor >= kMinor;
}

}  // namespace skopsfs::handover
